"""The ledger: reservations in Redis, decided by one Lua script. Nobody else knows Redis."""
