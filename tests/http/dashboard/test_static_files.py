"""The dashboard's page and files as they are served; what the page does is in tests/dashboard."""

import json
import re

import pytest
from aiohttp import ClientSession

from admission.domain.outcomes import Reason
from admission.domain.types import Role
from admission.http.app import create_app
from admission.http.auth.tokens import Credentials
from admission.http.dashboard.handlers import dashboard_files
from tests.support.http_server import FakeDecider, serving
from tests.support.tokens import bearer, token

FILES = sorted(dashboard_files())
HTML = {"Accept": "text/html,application/xhtml+xml"}


def text_of(name: str) -> str:
    return dashboard_files()[name].body.decode()


@pytest.mark.parametrize("path", ["/", *(f"/dashboard/{name}" for name in FILES)])
async def test_every_file_is_served_and_allowed_nothing_from_elsewhere(
    http: ClientSession, path: str
) -> None:
    async with http.get(path) as answer:
        assert (answer.status, len(await answer.read()) > 0) == (200, True)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_file_that_a_browser_has_is_not_sent_again(http: ClientSession) -> None:
    async with http.get("/dashboard/main.js") as first:
        etag = first.headers["ETag"]
    async with http.get("/dashboard/main.js", headers={"If-None-Match": etag}) as again:
        assert (again.status, await again.read()) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fdashboard.py", "index.html~"])
async def test_there_are_no_other_files(http: ClientSession, name: str) -> None:
    async with http.get(f"/dashboard/{name}") as answer:
        assert answer.status == 404


@pytest.mark.parametrize(("role", "status"), [(None, 401), (Role.SOURCE, 403)])
async def test_a_browser_without_good_credentials_gets_the_page_to_sign_in(
    decider: FakeDecider, role: Role | None, status: int
) -> None:
    app = create_app(decider, credentials=Credentials([token("source", Role.SOURCE)]))
    async with serving(app) as server:
        async with server.http.get("/", headers=HTML | bearer(role)) as answer:
            assert (answer.status, answer.content_type) == (status, "text/html")
            assert await answer.text() == text_of("index.html")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        async with server.http.get("/", headers=bearer(role)) as answer:
            assert (answer.status, answer.content_type) == (status, "application/problem+json")


def test_the_page_names_only_files_that_there_are() -> None:
    named = re.findall(r'(?:src|href)="dashboard/([^"]+)"', text_of("index.html"))
    named += re.findall(r'from "\./([^"]+)"', "".join(text_of(n) for n in FILES if n[-3:] == ".js"))
    assert set(named) == set(FILES) - {"index.html"}


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    page = text_of("index.html")
    assert not re.search(r"<style|style=|<script>|\son\w+=|https?:", page)
    own = [name for name in FILES if not name.startswith("uplot")]
    for name in own:
        found = re.findall(r"https?://[^\s\"']+", text_of(name))
        assert set(found) <= {"http://www.w3.org/2000/svg"}, name


def test_no_script_writes_markup_or_keeps_a_token() -> None:
    for name in FILES:
        found = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|eval\(|localStorage|sessionStorage|cookie",
            text_of(name),
        )
        assert found is None, (name, found)


def test_every_reason_has_a_description() -> None:
    texts = json.loads(text_of("reasons.js").removeprefix("export const REASONS = ")[:-2])
    assert list(texts) == [one.value for one in Reason]
    assert all("{pool}" not in without_pool for _, without_pool in texts.values())
