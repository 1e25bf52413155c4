"""`admission measure`: test calls on a platform, and the times to configure for the platform."""
