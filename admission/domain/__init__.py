"""Values that every package shares: types, outcomes, snapshots, policy. No I/O, no clock."""
