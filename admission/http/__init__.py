"""The HTTP API and the dashboard. The contract is docs/api.md, made from `routes` and `schemas`."""
