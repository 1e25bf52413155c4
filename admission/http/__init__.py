"""The HTTP face of the service: contract in docs/api, values from `admission.domain.outcomes`."""
