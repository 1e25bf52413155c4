"""`redis.url`: what of it is read, and what is never shown."""

import pytest

from admission.config import redis_url
from admission.config.redis_url import Host


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "rediss://u:p@localhost:1/0",
        "unix:///run/redis.sock?db=1",
        "redis+sentinel://a,b:1,[::1]:2/main",
        "redis+cluster://a",
        "redis+cluster://a:1/?tls=true&ssl_certfile=/c&ssl_keyfile=/k",
    ],
)
def test_a_usable_url_is_accepted(url: str) -> None:
    redis_url.validate(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis:localhost", "must be empty"),
        ("http://h", "must be empty"),
        ("redis+sentinel://h", "the name of the primary"),
        ("redis+sentinel://h/main/0", "the name of the primary"),
        ("redis+cluster://h/0", "has no path"),
        ("redis+cluster://a,,b", "before and after each comma"),
        ("redis+cluster://", "before and after each comma"),
        ("redis+cluster://h:port", "port is not a port"),
        ("redis+cluster://h:70000", "port is not a port"),
        ("redis+cluster://[::1", "not a URL"),
        ("redis+cluster://h?ssl=true", "unknown option ssl; there are tls"),
        ("redis+cluster://h?tls=yes", "tls=true or tls=false"),
    ],
)
def test_an_unusable_url_is_refused_with_a_reason(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        redis_url.validate(url)


def test_hosts_have_the_usual_ports_of_what_they_are() -> None:
    sentinels = redis_url.parse_many_hosts("redis+sentinel://a,[::1]:2/main")
    cluster = redis_url.parse_many_hosts("redis+cluster://a,b:2")
    assert [(one.name, one.port) for one in sentinels.hosts] == [("a", 26379), ("::1", 2)]
    assert sentinels.primary == "main"
    assert [(one.name, one.port) for one in cluster.hosts] == [("a", 6379), ("b", 2)]


def test_a_login_is_of_its_host_and_of_those_after_it() -> None:
    many = redis_url.parse_many_hosts("redis+cluster://a,joe:p%40w@b,c,:x@d")
    assert many.hosts == (
        Host(name="a", port=6379),
        Host(name="b", port=6379, username="joe", password="p@w"),
        Host(name="c", port=6379, username="joe", password="p@w"),
        Host(name="d", port=6379, password="x"),
    )
    assert "p@w" not in repr(many)


@pytest.mark.parametrize(
    ("url", "has"),
    [
        ("redis://a", False),
        ("redis://joe@a", False),
        ("redis://joe:p,w@a", True),
        ("redis+cluster://a,b", False),
        ("redis+cluster://a,:pw@b,c", True),
    ],
)
def test_a_password_anywhere_is_found(url: str, has: bool) -> None:
    assert redis_url.has_password(url) is has


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://joe:secret,secret@a:1/2?x=secret#secret", "redis://a:1/2"),
        ("redis+sentinel://joe:secret@a:1,:secret@b/main?tls=true", "redis+sentinel://a:1,b/main"),
        ("unix:///run/s?password=secret", "unix:///run/s"),
    ],
)
def test_the_shown_url_contains_no_secret(url: str, shown: str) -> None:
    assert redis_url.redact(url) == shown
