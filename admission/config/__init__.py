"""Settings: the TOML file, the environment, and what is checked before a start."""
