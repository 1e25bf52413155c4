"""HTTP exchanges with credentials: Basic, Digest, Bearer; one rule for a refusal.

    async with auth.exchange(session, "POST", url, headers=headers, body=body) as response: ...

A request that the server answers with 401 had no effect there, so it is sent again where the answer
says how: a Digest challenge, or the charset of Basic. Any other 401 is a refusal, which the gate
remembers.
"""

import base64
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import aiohttp
from pydantic import SecretStr
from yarl import URL

from admission.config.secret_refs import read_again
from admission.sources.authentication.challenges import Challenge, read_challenges
from admission.sources.authentication.digest import (
    DigestSession,
    choose_challenge,
    describe_demands,
)
from admission.sources.authentication.gate import CredentialGate, CredentialsRefused
from admission.sources.base import sanitize_line

Scheme: TypeAlias = Literal["basic", "digest", "bearer", "none"]
Charset: TypeAlias = Literal["utf-8", "iso-8859-1"]

NO_SECRET: Final = SecretStr("")
UTF8: Final[Charset] = "utf-8"
LATIN1: Final[Charset] = "iso-8859-1"
_CHARSETS: Final[Mapping[str, Charset]] = {
    **dict.fromkeys(("utf-8", "utf8"), UTF8),
    **dict.fromkeys(("iso-8859-1", "iso_8859-1", "latin1", "latin-1"), LATIN1),
}
# The request, its Digest answer (or Basic in another charset), and one with a newer nonce.
SENDS_MAX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a source authenticates with.

    Args:
        scheme: of HTTP authentication.
        username: of basic and digest.
        secret: the password, or the token of bearer.
        charset: in which basic and digest encode both; None: UTF-8, or what the server names.
    """

    scheme: Scheme = "none"
    username: str = ""
    secret: SecretStr = NO_SECRET
    charset: Charset | None = None

    def read_secret(self) -> str:
        """The secret in clear text; one from a file as the file has it now."""
        return read_again(self.secret).get_secret_value()


class HttpAuth:
    """Authenticates the exchanges with one server.

    Args:
        credentials: of this server; None: what is sent is the caller's affair, and a 401 is a
            refusal that it explains.
        gate: of the account.

    Example:
        auth = HttpAuth(Credentials(scheme="bearer", secret=token))
        async with auth.exchange(session, "GET", URL(url)) as response:
            body = await response.read()
    """

    def __init__(self, credentials: Credentials | None, gate: CredentialGate | None = None) -> None:
        self._explains = credentials is not None
        self._credentials = credentials or Credentials()
        self._gate = gate or CredentialGate()
        self._charset: Charset = self._credentials.charset or UTF8
        self._digest: DigestSession | None = None
        self._digest_secret = ""

    @property
    def secrets(self) -> Collection[str]:
        """Texts to mask in whatever the server answers: also as Basic joins them."""
        secret = self._credentials.read_secret()
        return (secret, f"{self._credentials.username}:{secret}") if secret else ()

    def forget_refusal(self) -> None:
        """Send the credentials with the next request, whatever the server said before."""
        self._gate.forget()

    @asynccontextmanager
    async def exchange(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        options: Mapping[str, Any] | None = None,
        wait_s: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request with credentials, and yield the answer that is no 401.

        Args:
            session: of the server.
            url: encoded as it is to be sent.
            options: further arguments of aiohttp's `request`.
            wait_s: see `CredentialGate.attempt`.

        Raises:
            CredentialsRefused: the server refuses the credentials.
            Whatever aiohttp raises.
        """
        secret = self._credentials.read_secret()
        request = _Request(session, method, url, dict(headers or {}), body, dict(options or {}))
        if self._credentials.scheme == "none":
            async with request.send({}) as response:
                self._check_status(response, secret)
                yield response
            return
        async with (
            self._gate.attempt(secret, wait_s=wait_s) as accept,
            self._send_until_answered(request, secret) as response,
        ):
            accept()
            yield response

    @asynccontextmanager
    async def _send_until_answered(
        self, request: "_Request", secret: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        for sends in range(SENDS_MAX):
            async with request.send(self._authorize(request, secret)) as response:
                if response.status != 401:
                    yield response
                    return
                is_first = sends == 0 or self._is_stale(response)
                if not (is_first and self._take_challenge(response, secret)):
                    self._check_status(response, secret)
        raise CredentialsRefused("the credentials are refused (401), one nonce after another")

    def _authorize(self, request: "_Request", secret: str) -> dict[str, str]:
        scheme, username = self._credentials.scheme, self._credentials.username
        if scheme == "bearer":
            return {"Authorization": f"Bearer {secret}"}
        if scheme == "basic":
            pair = f"{username}:{secret}".encode(self._charset, "replace")
            return {"Authorization": "Basic " + base64.b64encode(pair).decode()}
        if self._digest is None or self._digest_secret != secret:
            return {}
        target = request.url.raw_path_qs
        return {"Authorization": self._digest.authorize(request.method, target, request.body)}

    def _take_challenge(self, response: aiohttp.ClientResponse, secret: str) -> bool:
        """Change what is sent as a 401 demands. Returns whether there is something to change."""
        challenges = _read(response)
        if self._credentials.scheme == "basic":
            named = _find_charset(challenges)
            if self._credentials.charset or named in (None, self._charset) or _is_ascii(secret):
                return False
            self._charset = named or UTF8
            return True
        chosen = choose_challenge(challenges) if self._credentials.scheme == "digest" else None
        if chosen is None:
            return False
        username = self._credentials.username
        charset = self._charset if _fits(username + secret, self._charset) else UTF8
        self._digest = DigestSession(chosen, username, secret, charset)
        self._digest_secret = secret
        return True

    def _is_stale(self, response: aiohttp.ClientResponse) -> bool:
        """Whether the server refuses the nonce only: nothing is said of the password."""
        chosen = choose_challenge(_read(response))
        is_digest = self._credentials.scheme == "digest" and chosen is not None
        return is_digest and chosen.parameters.get("stale", "").lower() == "true"  # type: ignore[union-attr]

    def _check_status(self, response: aiohttp.ClientResponse, secret: str) -> None:
        if response.status != 401:
            return
        hint = self._explain(_read(response), secret) if self._explains else ""
        detail = "the credentials are refused (401)"
        text = sanitize_line(f"{detail}{hint}", secrets=self.secrets)
        raise CredentialsRefused(text, date=response.headers.get("Date", ""))

    def _explain(self, challenges: list[Challenge], secret: str) -> str:
        """What the server demands, if it is not what was sent; else what may be wrong with that."""
        auth = self._credentials.scheme
        if not any(one.scheme == auth for one in challenges):
            schemes = " or ".join(dict.fromkeys(one.name[:20] for one in challenges[:4]))
            return f", the platform demands {schemes or 'no known scheme'}, auth is {auth}"
        if auth == "digest" and choose_challenge(challenges) is None:
            return f", the platform demands Digest with {describe_demands(challenges)} only: " + (
                "this service has MD5 and SHA-256"
            )
        if auth == "bearer":
            return ": check token"
        if _is_ascii(secret + self._credentials.username):
            return ": check username and password"
        other = LATIN1 if self._charset == UTF8 else UTF8
        return (
            ": check username and password; they are not ASCII and were sent as "
            f'{self._charset.upper()}: try credentials_charset = "{other}"'
        )


@dataclass(frozen=True, slots=True)
class _Request:
    session: aiohttp.ClientSession
    method: str
    url: URL
    headers: dict[str, str]
    body: bytes
    options: dict[str, Any]

    def send(self, authorization: Mapping[str, str]) -> "aiohttp.client._RequestContextManager":
        """Send it; redirects are not followed, because the credentials are for this address."""
        return self.session.request(
            self.method,
            self.url,
            data=self.body or None,
            headers=self.headers | dict(authorization),
            allow_redirects=False,
            **self.options,
        )


def _read(response: aiohttp.ClientResponse) -> list[Challenge]:
    return read_challenges(response.headers.getall("WWW-Authenticate", []))


def _find_charset(challenges: list[Challenge]) -> Charset | None:
    named = (one.parameters.get("charset", "") for one in challenges if one.scheme == "basic")
    return next((_CHARSETS[name.lower()] for name in named if name.lower() in _CHARSETS), None)


def _is_ascii(text: str) -> bool:
    return text.isascii()


def _fits(text: str, charset: str) -> bool:
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return False
    return True
