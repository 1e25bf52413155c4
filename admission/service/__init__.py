"""What the HTTP side may ask, of all zones: zones, policies, waiting requests, agent sessions."""
