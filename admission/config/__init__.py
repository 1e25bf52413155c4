"""Settings: the TOML file, the environment's overrides, and the checks before a start."""
