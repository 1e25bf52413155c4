"""A client of one Redis server; every wait is bounded.

`timeout_ms` bounds a connection, a reply, and the wait for a free connection. A command whose
connection broke or whose reply is late is sent once more at once: safe because every operation is
idempotent, and it hides a restarted server or a dropped idle connection. `RedisConnection` bounds
the time of a whole script call.
"""

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from admission.config import RedisSettings
from admission.config.redis_url import MultiHostUrl
from admission.errors import ConfigError

CONNECTIONS_MAX: Final = 64  # one script call per zone at a time, and one subscription
RETRIES: Final = 1


def client_of_url(settings: RedisSettings) -> Redis:
    """A client of the server that a `redis://`, `rediss://` or `unix://` URL names.

    Raises: ConfigError: the URL cannot be read, or a file that it needs is not there.
    """
    options = connection_options(settings) | credentials(settings) | pool_options(settings)
    if settings.scheme == "rediss":
        _check_files(settings, parse_qs(urlsplit(settings.url).query))
        options |= _require_verification(settings)
    try:
        return Redis(connection_pool=BlockingConnectionPool.from_url(settings.url, **options))
    except ValueError as exc:
        raise ConfigError(f"redis.url: {exc}") from exc


def client_of_socket(settings: RedisSettings, url: str) -> Redis:
    """A client of the embedded server, which has no users."""
    options = connection_options(settings) | pool_options(settings)
    return Redis(connection_pool=BlockingConnectionPool.from_url(url, **options))


def connection_options(settings: RedisSettings, *, retries: int = RETRIES) -> dict[str, Any]:
    """Options of every connection, by the names of redis-py."""
    timeout_s = settings.timeout_ms / 1000
    again = (exceptions.ConnectionError, exceptions.TimeoutError)
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        # No probe of idle connections: the second attempt replaces it, and redis-py's probe never
        # ends on a server that asks for a password when none is configured.
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), retries, again),
        "decode_responses": False,
        "protocol": 2,  # the answers of scripts are the same on every version, and no HELLO
        # No CLIENT SETINFO: on a unix socket whose server wants a password redis-py would connect
        # for it, be refused, and connect for it again, without end.
        "driver_info": None,
    }


def pool_options(settings: RedisSettings) -> dict[str, Any]:
    """The number of connections, and how long (s) a call waits for a free one."""
    return {"max_connections": CONNECTIONS_MAX, "timeout": settings.timeout_ms / 1000}


class Login(CredentialProvider):
    """`redis.username` and `redis.password`; each new connection asks for them.

    Args:
        settings: have a password.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self.renew(settings)

    def renew(self, settings: RedisSettings) -> None:
        """Use the password of these settings from the next connection on."""
        password = settings.password.get_secret_value() if settings.password else ""
        self._login: tuple[str] | tuple[str, str] = (
            (settings.username, password) if settings.username else (password,)
        )

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """The password, after the user if there is one."""
        return self._login


def credentials(settings: RedisSettings) -> dict[str, Any]:
    """`redis.username` and `redis.password`, those that are set."""
    if settings.password and not urlsplit(settings.url).username:
        return {"credential_provider": Login(settings)}
    password = settings.password.get_secret_value() if settings.password else None
    both = {"username": settings.username, "password": password}
    return {name: value for name, value in both.items() if value is not None}


def tls_options(settings: RedisSettings, many: MultiHostUrl) -> dict[str, Any]:
    """TLS towards the servers of a URL of many; empty without.

    Raises: ConfigError: a file is not there.
    """
    if not many.tls and not settings.ca_file:
        return {}
    files = {"ssl_certfile": many.client_cert, "ssl_keyfile": many.client_key}
    given = {name: path for name, path in files.items() if path}
    _check_files(settings, {name: [path] for name, path in given.items()})
    return {"ssl": True, **given, **_require_verification(settings)}


def _require_verification(settings: RedisSettings) -> dict[str, Any]:
    return {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": str(settings.ca_file) if settings.ca_file else None,
    }


def _check_files(settings: RedisSettings, query: dict[str, list[str]]) -> None:
    if settings.ca_file and not settings.ca_file.is_file():
        raise ConfigError(f"redis.ca_file: there is no file {settings.ca_file}")
    for name in ("ssl_certfile", "ssl_keyfile"):
        for path in query.get(name, ()):
            try:
                open(path, "rb").close()
            except OSError as exc:
                raise ConfigError(f"redis.url: {name}: {path}: {exc.strerror}") from exc
