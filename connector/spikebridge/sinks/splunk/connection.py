"""How a HEC endpoint is reached: its address, TLS, one connection that is kept, and the cookies that keep it at one indexer."""

from __future__ import annotations

import http.client
import re
import select
import ssl
import uuid
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from spikebridge.deadline import Deadline
from spikebridge.located import printable
from spikebridge.sinks.splunk.answers import Answer
from spikebridge.tls import BadTls, tls_context
from spikebridge.validation import OneOrMore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

    from spikebridge.tls import Tls

EVENT_PATH = "/services/collector/event"
ACK_PATH = "/services/collector/ack"
HEALTH_PATH = "/services/collector/health"

MAX_ANSWER_BYTES = 64 * 1024
_MAX_COOKIES = 20
_MAX_COOKIE_LETTERS = 4_096
_MAX_URL_LETTERS = 500
_LEAST_SECRET_LETTERS = 8


def _url(value: str) -> str:
    """Refuse what would be dialled elsewhere than it reads: no user, no query, and a port, as the usual one isn't that of the scheme."""
    expected = "expected https://HOST:PORT, for example https://splunk:8088"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(expected) from None
    if len(value) > _MAX_URL_LETTERS or not re.fullmatch(r"[!-~]+", value):
        raise ValueError(expected)
    if parts.scheme not in ("http", "https") or not parts.hostname or not port:
        raise ValueError(expected)
    if parts.username is not None or parts.query or parts.fragment or "/services/" in parts.path:
        message = f"{expected}, without user, query and /services/collector"
        raise ValueError(message)
    return value.rstrip("/")


Endpoints = OneOrMore[Annotated[str, AfterValidator(_url)]]


class Endpoint:
    """
    One endpoint, and at most one connection to it.

    `channel` names this conversation: acknowledgements are counted in it. `highest_ack` is the highest id given in it, -1 before the first.
    """

    def __init__(self, url: str, token: SecretStr, tls: Tls | None, timeout_s: float) -> None:
        """Connect to nothing yet; the files of `tls` are read when the address is https, and again after a request without an answer."""
        self.url = url
        self.channel = str(uuid.uuid4())
        self.highest_ack = -1
        self._parts = urlsplit(url)
        self._token = token
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._timeout_s = timeout_s
        self._deadline = Deadline()
        self._cookies: dict[str, str] = {}
        self._connection: http.client.HTTPConnection | None = None

    def renew(self) -> None:
        """Begin a new conversation: what is still unacknowledged in the old one is nobody's business any more."""
        self.close()
        self.channel = str(uuid.uuid4())
        self.highest_ack = -1

    def close(self) -> None:
        """Let go of the connection; twice does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request and return the answer, or why there was none: nothing is raised."""
        sent = False
        try:
            with self._deadline.within(self._timeout_s):
                connection = self._connected()
                sent = True
                connection.request(method, self._parts.path + path, body or None, self._headers(headers or {}))
                response = connection.getresponse()
                content = response.read(MAX_ANSWER_BYTES + 1)
        except BadTls as error:
            return Answer(0, trouble=str(error), lasting=True)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            self._context = None  # certificates may have been renewed
            lasting = isinstance(error, ssl.SSLCertVerificationError)
            advice = "; expected one that the authorities in tls.ca have signed, for this very name" if lasting else ""
            return Answer(0, trouble=f"{_cause(error)}{advice}", arrived=sent, lasting=lasting)
        if len(content) > MAX_ANSWER_BYTES:
            self.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        self._keep_cookies(response.headers.get_all("set-cookie", []))
        return Answer(response.status, found, self._hidden(content[:MAX_ANSWER_BYTES]))

    def _connected(self) -> http.client.HTTPConnection:
        """Return the connection; one that the server has closed while it was idle is made anew, so that nothing is sent into a closed door."""
        if self._connection is not None and not _closed_by_peer(self._connection):
            return self._connection
        self.close()
        host, port = str(self._parts.hostname), self._parts.port
        if self._parts.scheme == "https":
            self._context = self._context or tls_context(self._tls)
            self._connection = http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=self._context)
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        self._connection.connect()
        self._deadline.hold(self._connection.sock)
        return self._connection

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        own = {"Authorization": f"Splunk {self._token.get_secret_value()}", "User-Agent": "spikebridge"}
        if self._cookies:
            own["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        return {**own, **more}

    def _keep_cookies(self, headers: list[str]) -> None:
        """Keep what a load balancer tells us to say again; it is for this endpoint only, and as long as the process."""
        for header in headers[:_MAX_COOKIES]:
            try:
                found = SimpleCookie(header[:_MAX_COOKIE_LETTERS])
            except CookieError:
                continue
            for name, morsel in found.items():
                self._cookies.pop(name, None)
                if morsel["max-age"] != "0" and len(self._cookies) < _MAX_COOKIES:
                    self._cookies[name] = morsel.coded_value

    def _hidden(self, content: bytes) -> bytes:
        """Take our token out: a server, or a proxy before it, may show what it was sent. One as short as a word stands in any answer."""
        token = self._token.get_secret_value().encode()
        return content if len(token) < _LEAST_SECRET_LETTERS else content.replace(token, b"***")


def _closed_by_peer(connection: http.client.HTTPConnection) -> bool:
    """Say whether there is something to read while nothing was asked: an end, or an answer to nobody."""
    if connection.sock is None:
        return True
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _cause(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {printable(error.verify_message)}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the connection was closed before an answer came"
    if isinstance(error, http.client.HTTPException):
        return f"no answer that HTTP knows: {type(error).__name__}"
    return printable(getattr(error, "strerror", None) or str(error) or type(error).__name__)
