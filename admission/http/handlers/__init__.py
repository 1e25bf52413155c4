"""One module of handlers for each resource of the API, beside its routes."""
