"""The poller: leases, intervals, back-off and health of sources."""
