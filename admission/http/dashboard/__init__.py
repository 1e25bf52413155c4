"""The dashboard: one page with JavaScript modules, without a build step, served with the API."""
