"""Avaya Experience Portal: counts of free ports over SOAP."""
