"""Faults put into the script one by one, each with the world in which it must come to light."""

from dataclasses import dataclass
from hashlib import sha1
from typing import Final

from admission.ledger.scripts import load
from admission.ledger.store.connection import Script
from tests.simulation.scenarios import Scenario

CROWD: Final = Scenario(name="crowd", dedicated=False, rough=True, crowd=True)
DEDICATED: Final = Scenario(name="dedicated", dedicated=True, rough=True, crowd=True)
FLUSH: Final = Scenario(name="flush", dedicated=False, losses=("flush",), crowd=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One fault.

    Args:
        old, new: the text that stands in the script exactly once, and what replaces it.
        scenario: where it shows.
        seed: the first that caught it.
    """

    name: str
    old: str
    new: str
    scenario: Scenario
    seed: int = 0

    def script(self) -> Script:
        """The script with the fault in it."""
        source = load(clock="test").source
        assert source.count(self.old) == 1, f"{self.name}: the script has changed"
        source = source.replace(self.old, self.new)
        sha = sha1(source.encode(), usedforsecurity=False).hexdigest()
        return Script(source=source, sha=sha)


MUTATIONS: Final = (
    Mutation(
        name="a held end leaves the ceiling as it is",
        old="lower(p, 'ceiling', p.t1, credit)",
        new="",
        scenario=CROWD,
    ),
    Mutation(
        name="credit for a call that never had a port",
        old="if not (HAD_A_PORT[r.outcome] or r.taken) or not r.ended_at then return nil end",
        new="if not r.ended_at then return nil end",
        scenario=CROWD,
        seed=2,
    ),
    Mutation(
        name="credit for an end that nobody dated",
        old="if not (HAD_A_PORT[r.outcome] or r.taken) or not r.ended_at then return nil end",
        new="if not (HAD_A_PORT[r.outcome] or r.taken) then return nil end\n"
        "r.ended_at = r.ended_at or now",
        scenario=CROWD,
        seed=2,
    ),
    Mutation(
        name="the end notice is not subtracted",
        old="r.ended_at - zone.end_notice - drift",
        new="r.ended_at - drift",
        scenario=CROWD,
        seed=20,
    ),
    Mutation(
        name="the lag of the platform's count is forgotten",
        old="now, t0 - zone.visibility_lag",
        new="now, t0",
        scenario=CROWD,
        seed=1,
    ),
    Mutation(
        name="visible without the time to claim",
        old="visible_by = now + zone.launch_within + claim_within,",
        new="visible_by = now + zone.launch_within,",
        scenario=CROWD,
    ),
    Mutation(
        name="a repeat may launch as late as a first",
        old="live and q.granted_at + q.launch_within - (op.seen or now) or 0",
        new="live and q.launch_within or 0",
        scenario=CROWD,
    ),
    Mutation(
        name="no recovery after a loss",
        old="if is_another_server() or silent then",
        new="if false then",
        scenario=FLUSH,
        seed=1,
    ),
    Mutation(
        name="an older snapshot replaces a newer one",
        old="return p.t0 and (t0 <= p.t0 or t0 - zone.visibility_lag < p.w0)",
        new="return false",
        scenario=CROWD,
        seed=2,
    ),
    Mutation(
        name="a port is free as soon as its end is told",
        old="if zone.release_within > 0 then",
        new="if false then",
        scenario=CROWD,
        seed=6,
    ),
    Mutation(
        name="a held one that expires leaves the ceiling as it is",
        old="close(r, 'expired', nil)",
        new="close(r, 'expired', function() return true end)",
        scenario=CROWD,
    ),
    Mutation(
        name="a launch of unknown outcome ends at once",
        old="if op.outcome == 'unknown' then return give_up(r) end",
        new="",
        scenario=CROWD,
        seed=1,
    ),
    Mutation(
        name="the best ceiling survives an end without credit",
        old="lower(p, 'best', p.best_t1, credit)",
        new="",
        scenario=DEDICATED,
    ),
    Mutation(
        name="a repeated end counts again",
        old=(
            "if not reservation.is_live(r) then return "
            "answer(r, reservation.public_state(r) == 'ended') end"
        ),
        new="",
        scenario=CROWD,
    ),
)
