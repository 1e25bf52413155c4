"""Credentials: tokens with roles and zones, signed report links, rate limits."""
