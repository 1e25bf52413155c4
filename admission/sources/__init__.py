"""Where snapshots come from: one file for each platform, and the poller."""
