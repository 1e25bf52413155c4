"""Asking, listing and ending by hand; new tokens; the help of every command."""

import hashlib
import json
import tomllib

import pytest

from admission.cli.main import main
from admission.config.settings import AuthSettings
from tests.support.service import ServiceHarness
from tests.support.service_fixtures import Run

COMMANDS = (
    "serve", "demo", "check", "simulate", "token", "ask", "reservations", "end", "top", "apply",
    "set", "pause", "resume", "status", "clear-aside", "rotate-keys", "measure",
)  # fmt: skip


async def test_ask_prints_the_grant_and_the_next_steps(harness: ServiceHarness, run: Run) -> None:
    code, out, _ = await run(
        "ask", "collections", "--channel", "sip", "--count", "2", "--url", harness.url
    )
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "granted: 2 launches on sip in zone East"
    assert "launch within" in lines[1]
    assert lines[2].strip().startswith("East~")
    assert "report within 2 min 30 s" in lines[2]


async def test_ask_prints_the_reason_of_a_denial_and_exits_with_1(
    harness: ServiceHarness, run: Run
) -> None:
    arguments = (
        "ask",
        "collections",
        "--pool",
        "agent:1",
        "--channel",
        "sip",
        "--url",
        harness.url,
    )
    assert (await run(*arguments))[0] == 0
    code, out, _ = await run(*arguments)
    assert code == 1
    assert out.startswith("denied: pool_full at agent:1, 1 of 1 in use; ask again in ")
    code, out, _ = await run(*arguments, "--json")
    denied = json.loads(out)
    assert (code, denied["decision"], denied["pool"]) == (1, "deny", "agent:1")


async def test_ask_names_the_limit_of_a_partial_grant(harness: ServiceHarness, run: Run) -> None:
    code, out, _ = await run("ask", "collections", "--count", "9", "--url", harness.url)
    assert code == 0
    assert "granted: 8 launches" in out
    assert "no more than that: campaign_limit at campaign:collections, 8 of 8 in use" in out


async def test_explain_reserves_nothing_and_shows_every_pool(
    harness: ServiceHarness, run: Run
) -> None:
    code, out, _ = await run(
        "ask", "collections", "--mpp", "mpp1", "--explain", "--url", harness.url
    )
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert lines[0] == [
        "granted:",
        "1",
        "launch",
        "on",
        "sip",
        "in",
        "zone",
        "East",
        "(dry",
        "run)",
    ]
    assert ["mpp:mpp1:sip", "5", "0", "0", "5", "ok"] in lines
    _, out, _ = await run("reservations", "East", "--url", harness.url)
    assert out == "no reservations\n"


async def test_a_reservation_is_listed_and_ended_by_hand(harness: ServiceHarness, run: Run) -> None:
    url = ("--url", harness.url)
    await run("ask", "collections", "--owner", "me", "--count", "3", *url)
    await run("ask", "other", "--owner", "you", *url)
    code, out, _ = await run("reservations", "East", "--owner", "me", *url)
    rows = [line.split() for line in out.splitlines()]
    assert code == 0
    assert rows[0] == ["ID", "STATE", "CAMPAIGN", "CHANNEL", "MPP", "AGE", "OUTCOME", "OWNER"]
    assert {(row[1], row[2], row[-1]) for row in rows[1:]} == {("live", "collections", "me")}
    assert len(rows) == 4

    id = rows[1][0]
    assert await run("end", id, "--outcome", "busy", *url) == (0, f"{id}: ended\n", "")
    assert await run("end", id, *url) == (0, f"{id}: ended, as before\n", "")
    code, out, _ = await run("reservations", "East", "--state", "ended", "--json", *url)
    [ended] = json.loads(out)["reservations"]
    assert (ended["id"], ended["outcome"]) == (id, "busy")
    _, out, _ = await run("reservations", "East", "--limit", "2", "--json", *url)
    assert len(json.loads(out)["reservations"]) == 2
    code, _, err = await run("end", "East~AAAAAAAAAAA", *url)
    assert (code, err) == (1, "admission: no reservation East~AAAAAAAAAAA\n")


@pytest.mark.parametrize("what", [("ask", "c"), ("reservations",), ("end", "East~AAAAAAAAAAA")])
async def test_an_outage_is_no_denial(run: Run, what: tuple[str, ...]) -> None:
    code, out, err = await run(*what, "--url", "http://127.0.0.1:1")
    assert (code, out) == (3, "")
    assert "cannot be reached" in err


async def test_a_new_token_fits_the_configuration_as_it_is_printed(run: Run) -> None:
    code, out, _ = await run(
        "token", "new", "collections-dialer", "--campaign", "collections", "--zone", "East",
        "--expires", "2027-01-01",
    )  # fmt: skip
    assert code == 0
    token = next(line.strip() for line in out.splitlines() if line.startswith("  "))
    table = tomllib.loads(out[out.index("[[auth.tokens]]") :])["auth"]
    [known] = AuthSettings.model_validate(table).tokens
    assert known.sha256 == hashlib.sha256(token.encode()).hexdigest()
    assert (known.name, known.campaigns, known.zones) == (
        "collections-dialer", ("collections",), ("East",),
    )  # fmt: skip
    assert known.expires_at_s == 1_798_761_600


async def test_tokens_differ_and_can_be_had_as_json(run: Run) -> None:
    tokens = [json.loads((await run("token", "new", "--json"))[1]) for _ in range(2)]
    assert tokens[0]["token"] != tokens[1]["token"]
    assert len(tokens[0]["token"]) >= 40
    assert tokens[0]["role"] == "dialer"


@pytest.mark.parametrize(
    "arguments",
    [
        ("token", "new", "not a name"),
        ("token", "new", "v", "--role", "viewer", "--campaign", "c"),
        ("token", "new", "--expires", "tomorrow"),
        ("token",),
        ("end",),
        ("end", "x", "--outcome", "exploded"),
        ("ask",),
        ("ask", "c", "--count", "many"),
    ],
)
async def test_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    assert (await run(*arguments))[0] == 2


async def test_check_for_programs(run: Run, tmp_path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('[zones.East]\nsource = "push"\nchannels = ["sip"]\n')
    bad.write_text('[server]\nprot = 1\n[zones.East]\nsource = "push"\nchannels = ["sip"]\n')
    code, out, _ = await run("check", str(good), "--json")
    assert (code, json.loads(out)) == (0, {"file": str(good), "ok": True, "errors": []})
    code, out, shown = await run("check", str(good))
    assert (code, out) == (0, f"{good}: ok\n")
    assert shown == "Redis may need 592 MB (max_records, max_pools)\n"
    code, out, _ = await run("check", str(bad), "--json")
    [error] = json.loads(out)["errors"]
    assert (code, error["line"], error["place"]) == (1, 2, "server.prot")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"  admission {command}" in text[text.index("examples:") :]
    assert "exit codes:" in text


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert [one for one in COMMANDS if f"  {one} " not in text] == []
