"""Learned ceilings against an oracle, the proved ceiling and others, in modelled worlds."""
