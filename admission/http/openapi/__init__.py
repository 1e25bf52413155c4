"""The OpenAPI description, made from routes and schemas, and the HTML page of it."""
