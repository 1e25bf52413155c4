"""The script with the clock of the tests, called at the moment that a test names."""

import json
from collections.abc import Sequence
from functools import cache
from hashlib import sha1
from typing import Any

import redis

from admission.ledger import results
from tests.support.lua_mutations import ScriptFailedError

Answer = dict[str, Any]
CHANNEL = "notifications"  # on which the script publishes


def call_at(
    client: redis.Redis,
    source: str,
    keys: Sequence[str],
    ops: list[dict[str, Any]],
    clock_us: int,
    run_id: str,
) -> Answer:
    """One script call. The clock travels with it: a trip takes longer than most calls do.

    Args:
        client: of a server that may not know the script yet; answers are bytes.
        source: the script, with `lua/clock_test.lua`.
        keys: of the zone.
        clock_us: what the server's clock says.
        run_id: who the server says it is.
    """

    def once() -> Answer:
        with client.pipeline(transaction=False) as pipe:
            pipe.mset({f"{keys[0]}:clock": clock_us, f"{keys[0]}:run": run_id})
            pipe.evalsha(_sha(source), len(keys), *keys, json.dumps(ops), CHANNEL)
            _, text = pipe.execute()
        return results.expand_reply(ops, text)

    try:
        answer = once()
    except redis.exceptions.NoScriptError:
        client.script_load(source)
        answer = once()
    # "or {}": an empty table of Lua may come as a list
    failed = [one for one in answer.get("results", ()) if (one or {}).get("error") == "internal"]
    if failed:
        raise ScriptFailedError(failed)
    return answer


@cache
def _sha(source: str) -> str:
    return sha1(source.encode(), usedforsecurity=False).hexdigest()
