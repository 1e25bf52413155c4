"""The ledger: reservations in Redis, decided by one Lua script. No other package uses Redis."""
