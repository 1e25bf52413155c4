"""The ledger as a plain Python object: the independent check of the scripts in `lua/`.

It follows `lua/README.md` and shares no code with the Lua. It is written for obviousness: nothing
is counted up or down, every count is derived from the reservations there are.

    state      the values: rules, reservations, requests, snapshots, and the zone that holds them
    policy     what the compiled policy says of a name
    pools      pools view: in_use, pending, held, limit, room
    effects    what leaving a pool does to its ceiling
    rate_limit launches per second
    circuit_breaker   pools whose calls fail
    fairness   guarantees, priorities, unmet demand: the next port
    checks     every reason for a denial, in order
    decide     admit
    reports    launched, renew, end, adoption
    controls   pause, limit, policy
    ingest     snapshots
    expiry     deadlines
    views      status, get, list, lease
    ledger     the clock, recovery, and the dispatch of operations
"""

from tests.oracle.ledger import OracleLedger
from tests.oracle.state import Rules

__all__ = ["OracleLedger", "Rules"]
