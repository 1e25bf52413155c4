"""The configuration file: what is refused, where, and what is understood."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from admission.config.errors import InvalidSettings, SettingError, describe_errors
from admission.config.load import (
    DEMO_SOURCE,
    load_demo_settings,
    load_settings,
    parse_settings,
    read_demo_text,
)
from admission.config.settings import RedisSettings, Settings, is_loopback
from admission.domain.policy.compile import compile_policy
from admission.errors import ConfigError
from tests.support.paths import FILES

EXAMPLE = FILES / "example.toml"
SECRETS = {
    "REDIS_PASSWORD": "redis-secret",
    "EPM_PASSWORD": "epm-secret",
    "CMS_SECRET": "cms-secret",
    "AGENT_PASSWORD": "agent-secret",
}
ZONE = '[zones.East]\nsource = "push"\nchannels = ["sip"]\n'
SHA = "a" * 64
TOKEN = f'[[auth.tokens]]\nname = "t"\nsha256 = "{SHA}"\nrole = "viewer"\n'
AGENT_GATEWAY = '[sources.agents]\ntype = "huawei_agent_gateway"\nurl = "http://x"\n'
EPM = '[sources.epm]\ntype = "experience_portal"\nurl = "http://x/y"\nauth = "none"\n'


def load(text: str, environ: Mapping[str, str] | None = None) -> Settings:
    return parse_settings(text, environ or {}, source="test.toml")


def errors(text: str, environ: Mapping[str, str] | None = None) -> tuple[SettingError, ...]:
    with pytest.raises(InvalidSettings) as refused:
        load(text, environ)
    return refused.value.errors


# The text after ZONE (which has 3 lines); the line and place of the error; what it says.
BAD: list[tuple[str, int | None, str, str]] = [
    ("[servr]\n", 4, "servr", "unknown table; did you mean server?"),
    ("[server]\nprot = 1\n", 5, "server.prot", "unknown key; did you mean port?"),
    ("[server]\nport = 65536\n", 5, "server.port", "must be at most 65535"),
    ('[server]\nport = "80"\n', 5, "server.port", "must be a whole number"),
    ("[server]\nworkers = true\n", 5, "server.workers", "must be a whole number"),
    ('[server]\ndefault_zone = "Eats"\n', 5, "server.default_zone", "did you mean East?"),
    ('[server]\npublic_url = "x"\n', 5, "server.public_url", "must start with http:// or"),
    ('[server]\ntls_cert = "x"\n', 4, "server.tls_key", "is required with tls_cert"),
    ('[server]\ntls_key = "x"\n', 4, "server.tls_cert", "is required with tls_key"),
    ('[server]\nclient_ca = "x"\n', 5, "server.client_ca", "needs tls_cert and tls_key"),
    ('[server]\nhost = "0.0.0.0"\n', 5, "server.host", "no [[auth.tokens]] are configured"),
    (
        '[server]\nhost = "0.0.0.0"\nallow_anonymous = true\n',
        None,
        "redis.embedded",
        "must be set explicitly on 0.0.0.0",
    ),
    ('[redis]\nurl = "http://x"\n', 5, "redis.url", "must be empty (embedded) or start with"),
    ('[redis]\nurl = "redis://:pw@x"\n', 5, "redis.url", "must not contain a password: write"),
    ('[redis]\nurl = "redis://x"\nembedded = true\n', 6, "redis.embedded", "must be false when"),
    ('[redis]\nusername = "x"\n', 5, "redis.username", "needs a url"),
    ('[redis]\nurl = "redis://x"\nca_file = "x"\n', 6, "redis.ca_file", "needs TLS: a url"),
    ('[redis]\npassword = "pw"\n', 5, "redis.password", "a secret is never in the file itself"),
    ('[redis]\ndurability = "no"\n', 5, "redis.durability", "must be 'everysec' or 'always'"),
    ('[redis]\nkey_prefix = "{x}"\n', 5, "redis.key_prefix", "does not match ^["),
    ("[redis]\ntimeout_ms = 1\n", 5, "redis.timeout_ms", "must be at least 10"),
    ('[log]\nlevel = "loud"\n', 5, "log.level", "must be 'debug', 'info', 'warning' or 'error'"),
    ("[limits]\nmax_waiters = -1\n", 5, "limits.max_waiters", "must be at least 0"),
    ("[auth]\ntoken = 1\n", 5, "auth.token", "unknown key; did you mean tokens?"),
    ("[auth.tokens]\n", 4, "auth.tokens", "must be a list, [[auth.tokens]]"),
    ('[[auth.tokens]]\nname = "a"\n', 4, "auth.tokens.0.role", "is required"),
    (TOKEN.replace(SHA, "xyz"), 6, "auth.tokens.0.sha256", "must be 64 hexadecimal digits"),
    (TOKEN.replace("viewer", "admin"), 7, "auth.tokens.0.role", "must be 'dialer', 'source'"),
    (TOKEN + 'campaigns = ["a"]\n', 8, "auth.tokens.0.campaigns", "is for the role dialer only"),
    (TOKEN + 'zones = ["Eats"]\n', 8, "auth.tokens.0.zones.0", "did you mean East?"),
    (TOKEN + 'expires = "2027-01-01"\n', 8, "auth.tokens.0.expires", "must be a date such as"),
    (TOKEN + TOKEN.replace(SHA, "b" * 64), 9, "auth.tokens.1.name", "that of an earlier token"),
    (TOKEN + TOKEN.replace('"t"', '"u"'), 10, "auth.tokens.1.sha256", "that of an earlier token"),
    ("[sources.push]\n", 4, "sources.push", "must have another name: push"),
    ('[sources.x]\ntype = "portal"\n', 5, "sources.x.type", "must be one of experience_portal"),
    ("[sources.x]\n", 4, "sources.x.type", "must be one of experience_portal, huawei_cms, hua"),
    (EPM.replace("http:", "ftp:"), 6, "sources.epm.url", "must start with http:// or https://"),
    (EPM.replace("x/y", "u:p@x/y"), 6, "sources.epm.url", "must not contain a user or password"),
    (EPM.replace("x/y", "x:99999/y"), 6, "sources.epm.url", "is not a URL"),
    (EPM.replace("none", "basic"), 4, "sources.epm.username", "is required for basic auth"),
    (EPM + 'flavour = "axis1"\n', 8, "sources.epm.flavour", "unknown key; did you mean flavor?"),
    (EPM + 'password = { env = "NO" }\n', 8, "sources.epm.password", "variable NO is not set"),
    (EPM + 'password = { file = "/no" }\n', 8, "sources.epm.password", "cannot read the file /no"),
    (EPM + 'password = { evn = "NO" }\n', 8, "sources.epm.password", "must refer to the secret"),
    (
        EPM + '[zones.West]\nsource = "emp"\nchannels = ["sip"]\n',
        9,
        "zones.West.source",
        "emp is not a configured source, push or static; did you mean epm?",
    ),
    (
        EPM + '[zones.West]\nsources = ["epm"]\nchannels = ["sip", "voice"]\n',
        10,
        "zones.West.channels.1",
        "voice would never have a snapshot: this zone's sources count only sip, h323",
    ),
    ("[zones.West]\n", 4, "zones.West.channels", "is required"),
    ('[zones."We st"]\n', 4, 'zones."We st"', "is not a name"),
    (
        "[zones.East.campaigns.a]\nlimt = 5\n",
        5,
        "zones.East.campaigns.a.limt",
        "did you mean limit",
    ),
    (
        '[zones.East.campaigns.a]\npools = ["trunk:x"]\n',
        5,
        "zones.East.campaigns.a.pools.0",
        "trunk:x is not a pool of this zone",
    ),
]


@pytest.mark.parametrize(("text", "line", "place", "sentence"), BAD)
def test_a_bad_file_is_refused_at_its_place_with_a_reason(
    text: str, line: int | None, place: str, sentence: str
) -> None:
    found = errors(ZONE + text)

    here = [error for error in found if error.place == place]
    assert any(sentence in error.message for error in here), found
    assert [error.line for error in here] == [line] * len(here)


@pytest.mark.parametrize(
    ("change", "place", "sentence"),
    [
        (("source_zone = 1", ""), "source_zone", "must be the call centre's ccId, 1 to 65535"),
        (("source_zone = 1", "source_zone = 65536"), "source_zone", "must be the call centre's"),
        (('["cms", "agents"]', '["agents"]'), "channels.0", "this zone's sources count no channel"),
    ],
)
def test_a_huawei_zone_is_checked_against_its_sources(
    change: tuple[str, str], place: str, sentence: str
) -> None:
    found = errors(EXAMPLE.read_text("utf-8").replace(*change), SECRETS)

    assert found[0].place == f"zones.Contact-Center.{place}"
    assert sentence in found[0].message


def test_agents_are_listed_once() -> None:
    agent = '    { id = 1001, password = { env = "AGENT_PASSWORD" }, phone = "5550100" },\n'

    found = errors(EXAMPLE.read_text("utf-8").replace(agent, agent * 2), SECRETS)

    assert [(error.place, error.message) for error in found] == [
        ("sources.agents.agents.1.id", "1001 is listed twice")
    ]


def test_every_error_of_every_table_is_listed_by_line() -> None:
    text = (
        '[server]\nport = 0.5\nhost = "0.0.0.0"\n[log]\nlevle = "info"\n'
        '[zones.East]\nsource = "static"\nchannels = ["sip"]\nburts = 1\npoll_min_ms = 5000\n'
    )

    found = errors(text)

    assert [(error.line, error.place) for error in found] == [
        (None, "redis.embedded"),
        (2, "server.port"),
        (3, "server.host"),
        (5, "log.levle"),
        (6, "zones.East.capacity.sip"),
        (9, "zones.East.burts"),
        (10, "zones.East.poll_min_ms"),
    ]


def test_check_prints_one_line_for_each_error() -> None:
    with pytest.raises(ConfigError) as refused:
        load(ZONE + "[server]\nport = -1\n[log]\ndecisons = 1\n")

    assert describe_errors(refused.value) == (
        "test.toml: 2 errors\n"
        "  line 5: server.port: must be at least 0\n"
        "  line 7: log.decisons: unknown key; did you mean decisions?"
    )


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        ("[limits]", "waiters", "max_waiters"),
        ("[limits]", "event_clients", "max_event_clients"),
        (AGENT_GATEWAY, "queries_at_once", "max_concurrent_queries"),
        (AGENT_GATEWAY, "event_polls_at_once", "max_concurrent_event_polls"),
    ],
)
def test_a_renamed_setting_is_refused_with_its_new_name(table: str, old: str, new: str) -> None:
    (found,) = errors(f"{ZONE}{table}\n{old} = 10\n")

    assert found.place.endswith(f".{old}")
    assert found.message == f"is called {new} now"
    assert load(f"{ZONE}{table}\n{new} = 10\n")


@pytest.mark.parametrize("command", ["check", "serve"])
def test_check_and_a_start_print_the_new_name_of_a_setting(command: str, tmp_path: Path) -> None:
    (tmp_path / "old.toml").write_text(f"{ZONE}[limits]\nwaiters = 10\n")

    done = subprocess.run(
        [sys.executable, "-m", "admission", command, "old.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode != 0
    assert "line 5: limits.waiters: is called max_waiters now" in done.stdout + done.stderr


def test_the_smallest_file_is_a_zone() -> None:
    found = load(ZONE)

    assert found.server.default_zone == "East"
    assert (found.redis.url, found.server.port, found.auth.tokens) == ("", 8080, ())


def test_the_example_parses_whole() -> None:
    found = load_settings(EXAMPLE, SECRETS)

    assert set(found.sources) == {"epm", "cms", "agents"}
    assert found.redis.password == SecretStr("redis-secret")
    assert found.auth.tokens[0].expires == date(2027, 1, 1)
    assert found.auth.tokens[1].sha256 == found.auth.tokens[1].sha256.lower()
    assert found.zones["Contact-Center"].source_zone == "1"
    assert not [secret for secret in SECRETS.values() if secret in repr(found)]


def test_a_secret_comes_from_a_file_without_its_last_line_end(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from a file\n", "utf-8")
    text = f'[redis]\nurl = "redis://x"\npassword = {{ file = "{secret}" }}\n'

    assert load(ZONE + text).redis.password == SecretStr("from a file")


def test_a_program_may_give_a_secret_itself() -> None:
    assert RedisSettings(url="redis://x", password="pw").password == SecretStr("pw")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff", b"x" * 70_000])
def test_an_unusable_secret_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    text = f'[redis]\nurl = "redis://x"\npassword = {{ file = "{tmp_path}/secret" }}\n'

    assert [error.place for error in errors(ZONE + text)] == ["redis.password"]


def test_no_error_shows_a_literal_secret() -> None:
    text = '[redis]\nurl = "redis://:hunter2@x"\npassword = "hunter2"\n' + EPM.replace(
        "x/y", "u:hunter2@x"
    )

    assert "hunter2" not in str(errors(ZONE + text))


# Variables; where the value ends up; the value.
OVERRIDES: list[tuple[str, str, str, Any]] = [
    ("ADMISSION__SERVER__PORT", "9090", "server.port", 9090),
    ("admission__server__port", "9090", "server.port", 9090),
    ("ADMISSION__SERVER__METRICS_PUBLIC", "true", "server.metrics_public", True),
    ("ADMISSION__REDIS__DATA_DIR", "/x", "redis.data_dir", Path("/x")),
    ("ADMISSION__REDIS__URL", "redis://:pw@h", "redis.url", "redis://:pw@h"),
    ("ADMISSION__LOG__FORMAT", "json", "log.format", "json"),
    (
        "ADMISSION__LIMITS__REQUESTS_PER_S_PER_CALLER",
        "2.5",
        "limits.requests_per_s_per_caller",
        2.5,
    ),
]


@pytest.mark.parametrize(("name", "text", "place", "value"), OVERRIDES)
def test_the_environment_overrides_the_file(
    name: str, text: str, place: str, value: object
) -> None:
    table, key = place.split(".")

    found = load(ZONE + '[server]\nport = 1\n[log]\nformat = "console"\n', {name: text})

    assert getattr(getattr(found, table), key) == value


def test_a_password_may_come_from_the_environment_itself() -> None:
    environ = {"ADMISSION__REDIS__URL": "redis://h", "ADMISSION__REDIS__PASSWORD": "pw"}

    assert load(ZONE, environ).redis.password == SecretStr("pw")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("ADMISSION__SERVER__PORT", "x", "must be a whole number"),
        ("ADMISSION__SERVER__PORT", "99999", "must be at most 65535"),
        ("ADMISSION__LIMITS__WAITERS", "1", "is called ADMISSION__LIMITS__MAX_WAITERS now"),
        ("ADMISSION__SERVER__PROT", "1", "did you mean ADMISSION__SERVER__PORT?"),
        ("ADMISSION__SERVER", "{}", "overrides no key of [server]"),
        ("ADMISSION__ZONES__EAST__SHADOW", "1", "only server, redis, log, limits can be"),
        ("ADMISSION__REDIS__URL", "x", "must be empty (embedded) or start with"),
    ],
)
def test_a_wrong_variable_is_named(name: str, text: str, sentence: str) -> None:
    (found,) = errors(ZONE + "[server]\nport = 1\n", {name: text})

    assert (found.place, found.line) == (name, None)
    assert sentence in found.message


def test_other_variables_are_ignored() -> None:
    assert load(ZONE, {"PATH": "x", "ADMISSION_PORT": "tcp://x", "ADMISSION_TOKEN": "x"})


def test_beyond_loopback_everything_is_set_explicitly() -> None:
    aloud = '[server]\nhost = "0.0.0.0"\nallow_anonymous = true\n[redis]\nembedded = true\n'

    assert load(ZONE + aloud).server.host == "0.0.0.0"
    assert load(ZONE + '[server]\nhost = "::"\n[redis]\nurl = "redis://x"\n' + TOKEN)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
    ],
)
def test_what_a_loopback_address_is(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_the_demo_is_a_file_as_any_other(tmp_path: Path) -> None:
    copy = tmp_path / "admission.toml"
    copy.write_text(read_demo_text(), "utf-8")

    assert load_settings(copy, {}) == load_settings(None, {}) == load_demo_settings()


def test_the_demo_has_two_zones_and_five_campaigns() -> None:
    found = load_demo_settings("http://127.0.0.1:5/x")

    totals = {name: compile_policy(zone)["zone"]["mpp_total"] for name, zone in found.zones.items()}
    assert totals == {"East": 240, "West": 110}
    assert set(found.zones["East"].campaigns) == {
        "collections", "surveys", "reminders", "sales", "winback", "*",
    }  # fmt: skip
    assert found.sources[DEMO_SOURCE].url == "http://127.0.0.1:5/x"
    assert is_loopback(found.server.host)
    assert found.auth.tokens == ()


def test_the_demo_obeys_the_environment() -> None:
    assert load_settings(None, {"ADMISSION__SERVER__PORT": "1"}).server.port == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[server\n", "is not TOML: Expected ']' at the end of a table declaration (at line 1"),
        (b"a = 1\na = 2\n", "is not TOML: Cannot overwrite a value (at line 2"),
        (b"\xff", "is not UTF-8 at byte 0"),
        (b"a = " + b"[" * 100_000, "is nested too deeply"),
        (b"", "zones: at least one [zones.NAME] is required"),
        (b"#" * 9_000_000, "is larger than"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"x\.toml") as refused:
        load_settings(path, {})

    assert sentence in describe_errors(refused.value)


@pytest.mark.parametrize("depth", range(100, 600, 20))
@pytest.mark.parametrize("key", ["x", "zones.East.x", "server.host"])
def test_a_deeply_nested_file_is_refused(key: str, depth: int) -> None:
    with suppress(ConfigError):
        load(f"{key} = {'[' * depth}{']' * depth}\n")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        load_settings(tmp_path / "no.toml", {})


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbf" + ZONE.replace("\n", "\r\n").encode())

    assert load_settings(path, {}).server.default_zone == "East"


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(part) for part in value) + "]"
    return value.isoformat() if isinstance(value, date) else json.dumps(value)


WORDS = st.text("abz019.:*{}", max_size=6) | st.sampled_from(
    ["push", "static", "sip", "East", "env"]
)
VALUES = st.recursive(
    st.booleans()
    | st.integers(-5, 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
WHOLE = tomllib.loads(EXAMPLE.read_text("utf-8"))


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(sorted(WHOLE)) | WORDS, VALUES, max_size=4))
def test_no_document_raises_anything_but_a_config_error(document: dict[str, Any]) -> None:
    text = "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in document.items())

    with suppress(ConfigError):
        load(text)


def places(value: Any) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        inside = list(value.items())
    else:
        inside = list(enumerate(value)) if isinstance(value, list) else []
    return [(key, *rest) for key, part in inside for rest in [(), *places(part)]]


@settings(max_examples=150)
@given(st.sampled_from(places(WHOLE)), VALUES)
def test_no_wrong_value_raises_anything_but_a_config_error(
    place: tuple[Any, ...], value: Any
) -> None:
    document: Any = deepcopy(WHOLE)
    here = document
    for step in place[:-1]:
        here = here[step]
    here[place[-1]] = value

    with suppress(ConfigError):
        load("".join(f"{key} = {toml(part)}\n" for key, part in document.items()), SECRETS)


@settings(max_examples=100)
@given(st.text(max_size=40))
def test_no_text_raises_anything_but_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        load(ZONE + text)
