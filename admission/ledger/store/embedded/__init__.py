"""The Redis server that the service starts for itself: binary, data directory, process."""
