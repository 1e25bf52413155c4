"""Each rule of learned ceilings in the script, broken once."""

from tests.support.lua_mutations import LuaMutation

MUTATIONS = (
    LuaMutation(
        name="learned ceilings count whatever policy says",
        tag="proved-unless-policy-says",
    ),
    LuaMutation(name="what was learned before a loss counts", tag="learned-before-a-loss"),
    LuaMutation(name="what was learned counts for ever", tag="learned-ceiling-lapses"),
    LuaMutation(name="doubts end no trust", tag="doubts-end-trust", becomes="do return nil end"),
    LuaMutation(
        name="the first step holds on",
        tag="learned-ceiling-steps-down",
        becomes="local step = 1",
    ),
    LuaMutation(name="a cold estimate counts alone", tag="cold-takes-the-smaller"),
    LuaMutation(
        name="a proof does not count beside it",
        tag="proof-stays-true",
        becomes="if is_proof then return learned end",
    ),
    LuaMutation(
        name="the proved ceiling does not count beside it",
        tag="proved-beside-learned",
        becomes="return learned",
    ),
    LuaMutation(
        name="a mass of ends does not freeze the proved ceiling",
        tag="freeze-bounds-the-proved-ceiling",
    ),
    LuaMutation(name="an older snapshot teaches", tag="learned-of-the-newest-snapshot"),
    LuaMutation(name="a snapshot from before a loss teaches", tag="learned-since-the-loss"),
    LuaMutation(name="a snapshot teaches twice", tag="learned-once"),
    LuaMutation(name="every number is stored", tag="learned-numbers-are-counts"),
    LuaMutation(
        name="later drops are forgotten", tag="later-drops-count", becomes="local lowered = 0"
    ),
    LuaMutation(
        name="later failures are forgotten",
        tag="later-failures-count",
        becomes="failed_ceiling = false,",
    ),
    LuaMutation(
        name="every snapshot ends a freeze", tag="freeze-lasts", becomes="frozen_at = false,"
    ),
    LuaMutation(
        name="a loss keeps what was learned",
        tag="recovery-forgets-what-was-learned",
        becomes="local after = estimate and estimate.t0 or 0",
    ),
    LuaMutation(name="launched calls have no age", tag="launched-calls-have-an-age"),
    LuaMutation(name="every count shows a reported port", tag="reported-ports-have-an-age"),
    LuaMutation(
        name="an expiry does not lower what was learned", tag="drop-lowers-learned-ceiling"
    ),
    LuaMutation(
        name="a failing launch does not lower what was learned",
        tag="failure-lowers-learned-ceiling",
    ),
    LuaMutation(name="a mass of ends freezes nothing", tag="mass-of-ends-freezes"),
    LuaMutation(
        name="the stated time of a count is not answered", tag="stated-time-is-learned-from"
    ),
    LuaMutation(
        name="the port of a failed call is granted at once",
        tag="failed-call-lowers-learned-ceiling",
    ),
    LuaMutation(
        name="calls without an answer freeze the pool",
        tag="no-answers-are-no-mass",
        becomes="if now - at <= LATE_END_MS then count_burst(pool) end",
    ),
    LuaMutation(name="a gain counts for ever", tag="gain-of-the-last-hour", becomes="if true then"),
    LuaMutation(
        name="ports that no request wanted are a gain",
        tag="gain-of-what-is-wanted",
        becomes="if not pool.learns or not pool.ceiling then return end",
    ),
    LuaMutation(
        name="a stale snapshot gains",
        tag="gain-of-a-fresh-snapshot",
        becomes="local lasted_ms = now - pool.t1",
    ),
    LuaMutation(name="old bins are answered", tag="old-bins-go", becomes="if false then"),
    LuaMutation(
        name="a failure may shrink the headroom",
        tag="headroom-never-shrinks-by-failure",
        becomes="local grown = min(bound, (pool.adaptive or 0) + PARTS)",
    ),
)
