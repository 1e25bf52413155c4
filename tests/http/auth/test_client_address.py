"""The address of a client behind trusted proxies."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from admission.http.app import create_app
from admission.http.auth.client_address import ClientAddresses
from admission.http.auth.report_links import make_token
from admission.http.context import APP_CONTEXT
from tests.support.http_server import ID, FakeDecider, serving

TRUSTED = ("10.0.0.0/8", "192.0.2.7", "fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.1.1.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.1.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.1.1.1", ["6.6.6.6", "198.51.100.1, 10.2.2.2"], "198.51.100.1"),
        ("10.1.1.1", ["198.51.100.1, 192.0.2.7"], "198.51.100.1"),
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ("10.1.1.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("fd00::1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("::ffff:10.1.1.1", ["2001:db8::1"], "2001:db8::1"),
        ("10.1.1.1", ["198.51.100.1, nonsense"], "10.1.1.1"),
        ("10.1.1.1", ["198.51.100.1, , 10.2.2.2"], "10.2.2.2"),
        ("10.1.1.1", [", ".join(["6.6.6.6"] * 50 + ["10.2.2.2"] * 20)], "10.2.2.2"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_proxy(
    peer: str, forwarded: list[str], client: str
) -> None:
    headers = CIMultiDict([("X-Forwarded-For", one) for one in forwarded])
    request = make_mocked_request("GET", "/", headers).clone(remote=peer)
    assert ClientAddresses(TRUSTED).of(request) == client


def test_without_trusted_proxies_the_header_is_ignored() -> None:
    request = make_mocked_request("GET", "/", {"X-Forwarded-For": "1.2.3.4"})
    assert ClientAddresses().of(request.clone(remote="10.1.1.1")) == "10.1.1.1"


async def test_behind_a_proxy_each_client_has_its_own_rate(decider: FakeDecider) -> None:
    app = create_app(decider, requests_per_s=0.001, trusted_proxies=("127.0.0.1",))
    async with serving(app) as server:
        statuses = []
        for client in ("198.51.100.1", "198.51.100.1", "198.51.100.2"):
            headers = {"X-Forwarded-For": f"6.6.6.6, {client}"}
            async with server.http.get("/v1/zones/East/time", headers=headers) as answer:
                statuses.append(answer.status)
    assert statuses == [200, 429, 200]


async def test_reports_by_link_share_no_rate_of_their_address(decider: FakeDecider) -> None:
    app = create_app(decider, requests_per_s=0.001)
    subjects = [ID, f"{ID}.2", f"{ID}.3"]
    async with serving(app) as server:
        for subject in subjects:
            token = make_token(b"secret of East", subject, "collections")
            async with server.http.post(f"/r/{token}/renew") as answer:
                assert answer.status == 200


async def test_reports_by_one_link_have_a_rate(decider: FakeDecider) -> None:
    app = create_app(decider)
    rate = app[APP_CONTEXT].link_rate
    rate.take(ID)
    rate.charge(ID, 1_000_000)
    async with serving(app) as server:
        for subject, status in ((ID, 429), (f"{ID}.2", 200)):
            token = make_token(b"secret of East", subject, "collections")
            async with server.http.post(f"/r/{token}/renew") as answer:
                assert answer.status == status
