"""Challenges and Digest answers: the examples of the standards, and unusual servers."""

import hashlib
from typing import Any

import pytest

from admission.sources.authentication import digest
from admission.sources.authentication.challenges import read_challenges
from admission.sources.authentication.digest import DigestSession, choose_challenge

MD5 = 'Digest realm="a", qop="auth", nonce="n1", algorithm=MD5'
SHA256 = 'Digest realm="a", qop="auth, auth-int", nonce="n2", algorithm=SHA-256'
SHA512_256 = 'Digest realm="a", qop="auth", nonce="n3", algorithm=SHA-512-256'
BASIC = 'Basic realm="x, y", charset="UTF-8"'


@pytest.mark.parametrize(
    ("headers", "schemes"),
    [
        ([MD5, BASIC], ["digest", "basic"]),
        ([f"{BASIC}, {MD5}, {SHA256}"], ["basic", "digest", "digest"]),
        (["Negotiate"], ["negotiate"]),
        (["Negotiate YIIabc==, Basic realm=x"], ["negotiate", "basic"]),
        (['Basic realm = "x" ,  NTLM,Digest nonce="1"'], ["basic", "ntlm", "digest"]),
        (["", ",,,", '"', "=", '\x00\x01 "'], []),
        (["Basic " * 9_000], ["basic"] * 16),
        (["Basic a=b"] * 50, ["basic"] * 8),
    ],
)
def test_the_challenges_of_all_headers_are_read(headers: list[str], schemes: list[str]) -> None:
    assert [one.scheme for one in read_challenges(headers)] == schemes


def test_a_parameter_keeps_commas_and_quotes_of_its_value() -> None:
    [basic] = read_challenges(['Basic realm="a, \\"b\\" = c", Charset=utf-8'])
    assert basic.parameters == {"realm": 'a, "b" = c', "charset": "utf-8"}


@pytest.mark.parametrize(
    ("headers", "nonce"),
    [
        ([MD5, SHA256], "n2"),
        ([SHA256, MD5], "n2"),
        ([f"{SHA512_256}, {MD5}"], "n1"),
        ([SHA512_256], None),
        ([f"{BASIC}, {SHA512_256}, {MD5}, {SHA256}"], "n2"),
        (['Digest realm="a", nonce="n", qop="future"'], None),
        (['Digest realm="a", nonce=""'], None),
        (['Digest nonce="n"'], None),
        (['Digest realm="", nonce="n"'], "n"),
    ],
)
def test_the_strongest_challenge_that_can_be_answered_is_chosen(
    headers: list[str], nonce: str | None
) -> None:
    chosen = choose_challenge(read_challenges(headers))
    assert (chosen and chosen.parameters["nonce"]) == nonce


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616_are_answered(
    monkeypatch: pytest.MonkeyPatch, algorithm: str, response: str
) -> None:
    nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    monkeypatch.setattr(digest.secrets, "token_hex", lambda _: nonce)
    header = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", '
        f'algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    [challenge] = read_challenges([header])
    session = DigestSession(challenge, "Mufasa", "Circle of Life", "utf-8")
    answer = read_challenges([session.authorize("GET", "/dir/index.html", b"")])[0].parameters
    assert (answer["response"], answer["nc"], answer["uri"]) == (
        response,
        "00000001",
        "/dir/index.html",
    )
    assert answer["opaque"] == "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"


def h(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", lambda a: h(f"{h('u:r:p')}:n:{h('POST:/x')}")),
        (
            ', qop="auth-int"',
            lambda a: h(
                f"{h('u:r:p')}:n:00000001:{a['cnonce']}:auth-int:{h('POST:/x:' + h('body'))}"
            ),
        ),
        (
            ", qop=auth, algorithm=MD5-sess",
            lambda a: h(
                h(f"{h('u:r:p')}:n:{a['cnonce']}")
                + f":n:00000001:{a['cnonce']}:auth:{h('POST:/x')}"
            ),
        ),
    ],
)
def test_other_forms_are_answered_as_the_standards_compute_them(more: str, expected: Any) -> None:
    [challenge] = read_challenges([f'Digest realm="r", nonce="n"{more}'])
    header = DigestSession(challenge, "u", "p", "utf-8").authorize("POST", "/x", b"body")
    [answer] = read_challenges([header])
    assert answer.parameters["response"] == expected(answer.parameters)
