"""The simulated call centre: licences and agents that calls take, in a time that the test moves."""

from typing import Any

import pytest

from admission.sim.huawei.call_center import CallCenter
from admission.sim.huawei.values import CenterEvent, CenterSettings, ForeignStream
from tests.support.experience_portal import PREPARE_MS, RING_MS, TALK_MS, exactly, timing


class RecordedCenter:
    """A call centre that records its events."""

    def __init__(self, **changes: Any) -> None:
        usual: dict[str, Any] = {
            "licences": {"voice": 2, "ivr": 1},
            "agents": (1001,),
            "lag_ms": 0,
            "timing": timing(),
        }
        self.events: list[CenterEvent] = []
        self.center = CallCenter(CenterSettings(**usual | changes), listener=self.events.append)

    def log(self) -> list[tuple[int, str, str]]:
        return [(one.at, one.step.value, one.code) for one in self.events]

    def used(self) -> dict[str, int]:
        return self.center.used()


def test_an_ivr_call_takes_both_licences_until_it_ends() -> None:
    recorded = RecordedCenter()
    recorded.center.launch("ivr")
    recorded.center.advance(PREPARE_MS)
    during = recorded.used()
    recorded.center.advance(PREPARE_MS + RING_MS + TALK_MS)

    assert during == {"voice": 1, "ivr": 1, "agent:1001": 0}
    assert recorded.used() == {"voice": 0, "ivr": 0, "agent:1001": 0}
    assert [step for _, step, _ in recorded.log()] == ["port_taken", "answered", "ended"]
    assert recorded.center.next_at is None


@pytest.mark.parametrize(("counts_at", "rings_with"), [("claim", 1), ("answer", 0)])
def test_an_agent_s_call_counts_when_the_settings_say(counts_at: str, rings_with: int) -> None:
    recorded = RecordedCenter(agent_counts_at=counts_at)
    recorded.center.launch("voice", agent=1001)
    recorded.center.advance(PREPARE_MS)
    ringing = recorded.used()
    recorded.center.advance(PREPARE_MS + RING_MS)

    assert ringing["voice"] == 1
    assert ringing["agent:1001"] == rings_with
    assert recorded.used()["agent:1001"] == 1
    taken_at = next(at for at, step, _ in recorded.log() if step == "port_taken")
    assert taken_at == (PREPARE_MS if rings_with else PREPARE_MS + RING_MS)


@pytest.mark.parametrize("counts_at", ["claim", "answer"])
def test_a_call_whose_agent_is_busy_fails_and_holds_nothing(counts_at: str) -> None:
    recorded = RecordedCenter(agent_counts_at=counts_at)
    assert recorded.center.others.occupy(("agent:1001",), 60_000)
    recorded.center.launch("voice", agent=1001)
    recorded.center.advance(PREPARE_MS + RING_MS)

    assert recorded.log()[-1][1:] == ("ended", "00602")
    assert recorded.center.over_launches == 1
    assert recorded.used()["voice"] == 0


def test_a_call_that_finds_no_licence_takes_none_of_the_others() -> None:
    recorded = RecordedCenter()
    for _ in range(2):
        recorded.center.launch("ivr")
    recorded.center.advance(PREPARE_MS)

    assert recorded.used() == {"voice": 1, "ivr": 1, "agent:1001": 0}
    assert recorded.center.truth()["codes"] == {"34606": 1}


def test_counts_are_as_old_as_the_lag_allows() -> None:
    recorded = RecordedCenter(lag_ms=500, licences={"voice": 9})
    for at in range(0, 1_000, 100):
        recorded.center.advance(at)
        assert recorded.center.others.occupy(("voice",), 60_000) == (at < 900)
    recorded.center.advance(1_000)
    seen = {recorded.used()["voice"] for _ in range(200)}

    assert seen == {6, 7, 8, 9}


def test_a_hang_up_ends_a_call_once() -> None:
    recorded = RecordedCenter(timing=timing(release=exactly(300)))
    session = recorded.center.launch("voice")
    recorded.center.advance(PREPARE_MS)

    assert recorded.center.hang_up(session)
    assert not recorded.center.hang_up(session)
    assert recorded.used()["voice"] == 1
    recorded.center.advance(PREPARE_MS + 300)
    assert recorded.used()["voice"] == 0


def test_foreign_streams_take_what_is_free_and_no_more() -> None:
    busy = ForeignStream(rate_per_s=50, agents=True, hold=exactly(60_000))
    recorded = RecordedCenter(others=(busy,))
    recorded.center.advance(10_000)

    assert recorded.used() == {"voice": 2, "ivr": 0, "agent:1001": 1}
    recorded.center.others.set(ForeignStream(rate_per_s=0))
    recorded.center.advance(100_000)
    assert recorded.used() == {"voice": 0, "ivr": 0, "agent:1001": 0}


def test_unknown_channels_and_agents_are_refused() -> None:
    recorded = RecordedCenter()
    for channel, agent in (("web", None), ("voice", 9)):
        with pytest.raises(KeyError):
            recorded.center.launch(channel, agent=agent)
    with pytest.raises(KeyError):
        recorded.center.others.set(ForeignStream(channel="web"))
    assert recorded.center.launches == 0


def test_the_same_seed_gives_the_same_run() -> None:
    def run() -> list[tuple[int, str, str]]:
        calls = timing(answered=0.5, talk=exactly(700), prepare=exactly(30))
        recorded = RecordedCenter(
            timing=calls, others=(ForeignStream(rate_per_s=2, hold=exactly(800)),)
        )
        for at in range(0, 20_000, 250):
            recorded.center.advance(at)
            recorded.center.launch("voice")
        recorded.center.advance(60_000)
        return recorded.log()

    assert run() == run()
