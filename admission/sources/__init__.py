"""Where snapshots come from: one package for each vendor's platforms, and the poller."""
