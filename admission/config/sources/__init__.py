"""The `[sources.X]` tables, one model for each kind of platform."""
