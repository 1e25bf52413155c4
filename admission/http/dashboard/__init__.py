"""The dashboard: plain modules and one page, served with the API."""
