"""Requests that stay open until a port is free: queue, retries, notifications."""
