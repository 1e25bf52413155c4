"""Bodies of requests and responses, as pydantic models."""
