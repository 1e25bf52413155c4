"""Server-sent events: zone status as it changes, and its recent trend."""
