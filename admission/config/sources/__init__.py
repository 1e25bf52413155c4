"""Settings of each kind of source."""
