"""The worlds by name: length of a call, foreign use, and what is special."""

from typing import Any

from benchmarks.worlds.scenario import (
    Claim,
    Lie,
    Scenario,
    bimodal,
    drifting,
    jumping,
    lognormal,
    two_applications,
    uniform,
)

LENGTHS = (5, 7, 15, 30)

CLAIMS = {
    "claim .05-.3": Claim(law=uniform(0.05, 0.3), longest_s=0.3),
    "claim .5-4": Claim(law=uniform(0.5, 4.0), longest_s=4.0),
    "claim lognormal": Claim(law=lognormal, longest_s=4.0),
    "claim bimodal": Claim(law=bimodal, longest_s=3.0),
    "claim drifting": Claim(law=drifting, longest_s=2.5),
    "claim jumping": Claim(law=jumping, longest_s=3.0),
    "two applications": Claim(law=two_applications, longest_s=3.0),
}

# Each stands once for every length of a call.
SPECIAL: dict[str, dict[str, Any]] = {
    "none": {},
    "poisson": {"foreign": "poisson"},
    "waves": {"foreign": "waves"},
    "surges": {"foreign": "surges"},
    "rival": {"foreign": "rival"},
    **{f"poisson {name}": {"foreign": "poisson", "claim": law} for name, law in CLAIMS.items()},
    "surges claim .5-4": {"foreign": "surges", "claim": CLAIMS["claim .5-4"]},
    "none age 0-2": {"age_s": (0.0, 2.0)},
    "poisson age 0-2": {"foreign": "poisson", "age_s": (0.0, 2.0)},
    "poisson age 0-2 stated": {"foreign": "poisson", "age_s": (0.0, 2.0), "states_time": True},
    "poisson age 1.5": {"foreign": "poisson", "age_s": (1.5, 1.5)},
    "waves age 0-2": {"foreign": "waves", "age_s": (0.0, 2.0)},
    "waves age 0-2 stated": {"foreign": "waves", "age_s": (0.0, 2.0), "states_time": True},
    "poisson poll .2": {"foreign": "poisson", "poll_s": 0.2},
    "none poll 5": {"poll_s": 5.0},
    "poisson poll 5": {"foreign": "poisson", "poll_s": 5.0},
    "waves poll 5": {"foreign": "waves", "poll_s": 5.0},
    "none 20 ports": {"ports": (20,)},
    "poisson 20 ports": {"foreign": "poisson", "ports": (20,)},
    "none 2 channels": {"ports": (120, 80)},
    "poisson 2 channels": {"foreign": "poisson", "ports": (120, 80)},
    "none 5% ends lost": {"lost_ends": 0.05},
    "poisson 5% ends lost": {"foreign": "poisson", "lost_ends": 0.05},
    "poisson 2% dead grants": {"foreign": "poisson", "dead_grants": 0.02},
    "poisson dialers die": {"foreign": "poisson", "dialers_die_s": 150.0},
    "poisson launch 0-1 reported": {"foreign": "poisson", "launch_s": (0.0, 1.0), "reported": 1.0},
    "poisson launch 0-1 half reported": {
        "foreign": "poisson",
        "launch_s": (0.0, 1.0),
        "reported": 0.5,
    },
    "poisson launch 0-1 unreported": {"foreign": "poisson", "launch_s": (0.0, 1.0)},
    "poisson port taken": {"foreign": "poisson", "port_taken": True},
    "none ring reported": {"ring_s": (0.05, 0.3), "reported": 1.0},
    "poisson ring reported": {"foreign": "poisson", "ring_s": (0.05, 0.3), "reported": 1.0},
    "poisson restart kept": {"foreign": "poisson", "restart": "kept"},
    "poisson restart lost": {"foreign": "poisson", "restart": "lost"},
    "none server lost": {"media_server_s": (150.0, 240.0)},
    "poisson server lost": {"foreign": "poisson", "media_server_s": (150.0, 240.0)},
    "poisson pauses": {"foreign": "poisson", "pause_s": (60.0, 10.0)},
}

# Stand once for each of these lengths: they take long.
LARGE_LENGTHS = (7, 30)
LARGE: dict[str, dict[str, Any]] = {
    "none 2000 ports": {"ports": (2000,), "dialers": 32},
    "poisson 2000 ports": {"foreign": "poisson", "ports": (2000,), "dialers": 32},
}

# Made to break the model: is it noticed, and does trust come back?
BREAKING_LENGTHS = (7, 30)
_LIES = {"begin_s": 120.0, "end_s": 240.0}
BREAKING: dict[str, dict[str, Any]] = {
    "counts 10% too high": {"foreign": "poisson", "lie": Lie(**_LIES, added=20)},
    "counts noisy": {"foreign": "poisson", "lie": Lie(**_LIES, noise=25)},
    "counts frozen": {"foreign": "waves", "lie": Lie(**_LIES, frozen=True)},
    "claim 6-10": {
        "foreign": "poisson",
        "claim": Claim(law=uniform(6.0, 10.0), longest_s=10.0),
        "pause_s": (60.0, 10.0),
    },
    "second system": {"foreign": "second"},
}


def worlds() -> dict[str, Scenario]:
    """Every world, by name."""
    found = {}

    def add(length: int, name: str, settings: dict[str, Any], *, breaking: bool = False) -> None:
        name = f"{length:02d}s {name}"
        found[name] = Scenario(name=name, calls=length, break_model=breaking, **settings)

    for length in LENGTHS:
        for name, settings in SPECIAL.items():
            add(length, name, settings)
    for length in LARGE_LENGTHS:
        for name, settings in LARGE.items():
            add(length, name, settings)
    for length in BREAKING_LENGTHS:
        for name, settings in BREAKING.items():
            add(length, name, settings, breaking=True)
    return found
