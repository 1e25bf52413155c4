"""The script with one failing Redis command: a wrapper in Lua around redis.call and redis.pcall."""

import json
from collections.abc import Sequence
from hashlib import sha1
from typing import Any, Final

import redis

from admission.ledger import results, scripts
from tests.support.script_call import CHANNEL

CODES: Final = {
    "OOM": "OOM command not allowed when used memory > 'maxmemory'.",
    "WRONGTYPE": "WRONGTYPE Operation against a key holding the wrong kind of value",
    "NOPERM": "NOPERM this user has no permissions to run this command",
    "CROSSSLOT": "CROSSSLOT Keys in request don't hash to the same slot",
}
FOREVER: Final = 2**53  # commands
_WRAPPER: Final = """
local calls, failing, message, last = 0, tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local function fails() return failing <= calls and calls <= last end
local real = redis
local redis = setmetatable({
  call = function(...)
    calls = calls + 1
    if fails() then error({ err = message }) end
    return real.call(...)
  end,
  pcall = function(...)
    calls = calls + 1
    if fails() then return { err = message } end
    return real.pcall(...)
  end,
}, { __index = real })
"""
_LAST: Final = "return main(decode(ARGV[1]))"
_COUNTED: Final = """local reply = main(decode(ARGV[1]))
real.pcall('SET', KEYS[1] .. ':calls', calls)
return reply"""


class FaultyScript:
    """One zone whose calls may fail at a command.

    Args:
        client: answers are bytes.
        keys: from `zone_keys`.
        source: of the script, with `lua/clock_test.lua`; None: today's.
    """

    def __init__(self, client: redis.Redis, keys: Sequence[str], source: str | None = None) -> None:
        source = source or scripts.load("test").source
        assert source.rstrip().endswith(_LAST)
        self._source = _WRAPPER + source.rstrip().removesuffix(_LAST) + _COUNTED
        self._sha = sha1(self._source.encode(), usedforsecurity=False).hexdigest()
        self._client = client
        self._keys = keys
        self.commands = 0
        client.script_load(self._source)

    def call(
        self,
        ops: list[dict[str, Any]],
        now_ms: int,
        failing: int = 0,
        code: str = "OOM",
        maxmemory: int = 0,
        last: int | None = None,
    ) -> dict[str, Any]:
        """Apply operations; the failing-th command of the call fails with that code, 0: none.

        last: all commands from the failing-th to this one fail; None: that one alone.
        maxmemory: of the server during the call, bytes; 0: no limit.

        `commands` is the number of commands that the call ran.
        """
        clock, run = f"{self._keys[0]}:clock", f"{self._keys[0]}:run"
        count = f"{self._keys[0]}:calls"
        last = failing if last is None else last
        arguments = (json.dumps(ops), CHANNEL, failing or FOREVER, CODES[code], last)
        with self._client.pipeline(transaction=False) as pipe:
            pipe.mset({clock: now_ms * 1000, run: "first"})
            pipe.config_set("maxmemory", maxmemory)
            pipe.evalsha(self._sha, len(self._keys), *self._keys, *arguments)
            pipe.config_set("maxmemory", 0)
            pipe.get(count)
            *_, text, _, commands = pipe.execute()
        self.commands = int(commands)
        return results.expand_reply(ops, text)
