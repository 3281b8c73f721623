"""
HTTP to a cluster of search servers: the only module that knows the client library.

It takes the nodes and the node pool of `elastic_transport`, which speak to every version of both products. The clients above them do not: one
of version 9 is refused by servers of version 8, and OpenSearch refuses the media types of all of them. The library's `Transport` is left
out too: it tries again by itself (429 at once), reads answers of any length, and understands them before we see their status.
"""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import urllib3
from elastic_transport import HttpHeaders, NodeConfig, NodePool, Urllib3HttpNode
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util.retry import Retry

from spikebridge import __version__
from spikebridge.deadline import Deadline
from spikebridge.errors import SinkUnavailable
from spikebridge.tls import BadTls, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikebridge.search.connection import Connection

ANSWER_BYTES = 8_000_000
"""A longer answer is not read: 500 refusals that quote whole documents are shorter."""

CONNECT_S = 10.0
MARGIN_S = 10.0
"""We wait so much longer than the server was asked to, so that it is the server that says what is missing."""

TRUST_WAIT_S = 10.0
"""A certificate does not change by being looked at again at once."""

LEAST_SECRET_LETTERS = 8
"""One as short as a word stands in any answer, and is left there."""

_BLOCK_BYTES = 65_536

# The host says once what the library would log at each attempt.
logging.getLogger("elastic_transport").setLevel(logging.CRITICAL)


class Answer(NamedTuple):
    """What a server answered, whatever it is; `endpoint` is who."""

    status: int
    body: bytes
    endpoint: str


class Server:
    """A cluster under one identity, spoken to by one thread; requests go round its endpoints, past those that are away."""

    def __init__(self, connection: Connection, wait: Callable[[float], bool]) -> None:
        """Connect to nothing yet; `SinkUnavailable` if a file with certificates can't be read. `wait` is asked between endpoints."""
        self._wait = wait
        self.where = connection.where
        self._headers = {"accept": "application/json", "user-agent": f"spikebridge/{__version__}"}
        authorization = connection.authorization()
        if authorization is not None:
            self._headers["authorization"] = authorization
        secret = (authorization or "").rpartition(" ")[2].encode()
        self._secret = secret if len(secret) >= LEAST_SECRET_LETTERS else b""
        self._timeout_s = connection.timeout_s + MARGIN_S
        try:
            self._pool = NodePool([_node(endpoint, connection) for endpoint in connection.endpoint], _Node)
        except BadTls as error:
            raise SinkUnavailable(str(error), after_s=TRUST_WAIT_S) from error

    def ask(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        """
        Return what a server answers; `SinkUnavailable` when none does, or when nobody can know what became of it.

        What we said of ourselves is taken out: a proxy in between may show what it was sent.
        """
        sent = self._headers | (headers or {})
        if body:
            sent.setdefault("content-type", "application/json")
        others = len(self._pool.all()) - 1
        while True:
            node = self._pool.get()
            assert isinstance(node, _Node)  # noqa: S101 -- the pool makes no others
            try:
                answer = node.ask(method, target, body, sent, self._timeout_s)
            except SinkUnavailable:
                self._pool.mark_dead(node)
                others -= 1
                if others < 0 or self._wait(0):
                    raise
            else:
                self._pool.mark_live(node)
                return answer._replace(body=answer.body.replace(self._secret, b"***")) if self._secret else answer

    def close(self) -> None:
        """Close every connection; asking opens them again."""
        for node in self._pool.all():
            node.close()


class _Node(Urllib3HttpNode):
    """One endpoint: answers bounded in size and time, and causes that name what was found."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self._deadline = Deadline()
        self.pool.ConnectionCls = _held(self.pool.ConnectionCls, self._deadline)
        if isinstance(self.pool, urllib3.HTTPSConnectionPool) and config.ssl_context is not None:
            # The library adds the public authorities to a context that was given: here a private one is meant to be the only one.
            self.pool.ca_certs = None

    def ask(self, method: str, target: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Answer:
        """Send one request and read the answer to its end."""
        try:
            with self._deadline.within(timeout_s):
                response = self.pool.urlopen(
                    method,
                    f"{self.path_prefix}{target}",
                    body=body or None,
                    headers=HttpHeaders(headers),
                    retries=Retry(False),
                    timeout=urllib3.Timeout(connect=CONNECT_S, read=timeout_s),
                    preload_content=False,
                )
                try:
                    read = self._read(response)
                finally:
                    response.release_conn()
        except (HTTPError, OSError) as error:
            after_s = TRUST_WAIT_S if isinstance(error, SSLError | ssl.SSLError) else 0.0
            raise SinkUnavailable(f"{self.base_url}: {_cause(error)}", after_s=after_s) from error
        return Answer(response.status, read, self.base_url)

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        read = bytearray()
        while block := response.read(_BLOCK_BYTES, decode_content=False):
            read += block
            if len(read) > ANSWER_BYTES:
                response.close()
                raise SinkUnavailable(
                    f"{self.base_url}: expected an answer of at most {ANSWER_BYTES:,} bytes, found a longer one"
                )
        return bytes(read)


def _held(kind: type[Any], deadline: Deadline) -> type[Any]:
    """Return this kind of connection, which tells a deadline what it is connected to."""

    class Held(kind):  # type: ignore[misc]  # the library has kinds of its own for TLS
        def connect(self) -> None:
            super().connect()
            deadline.hold(self.sock)

    return Held


def _node(endpoint: str, connection: Connection) -> NodeConfig:
    parts = urlsplit(endpoint)
    secure = parts.scheme == "https"
    tls = connection.tls
    return NodeConfig(
        parts.scheme,
        parts.hostname or "",
        parts.port or (443 if secure else 80),
        path_prefix=parts.path,
        connections_per_node=1,
        ssl_context=tls_context(tls) if secure else None,
        ssl_assert_fingerprint=tls.fingerprint if secure else None,
    )


def _cause(error: Exception) -> str:
    """Say what was found on the way to a server."""
    if isinstance(error, SSLError | ssl.SSLError):
        return _tls(error)
    found = next((text for kind, text in _CAUSES if isinstance(error, kind)), "{why}")
    return found.format(why=_why(error))


_CAUSES = (
    (NameResolutionError, "this name is not known to DNS; check the endpoint"),
    (NewConnectionError, "no connection: {why}"),
    (ConnectTimeoutError, f"no connection within {CONNECT_S:.0f} s; check the endpoint, and firewalls in between"),
    (ReadTimeoutError, "no answer in time"),
    (ProtocolError, "the connection ended before an answer: {why}"),
)


def _tls(error: Exception) -> str:
    inner = _innermost(error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted ({inner.verify_message}); check `tls.ca`, or name its `tls.fingerprint`"
    if "fingerprint" in str(error).lower():
        return "the server's certificate has another fingerprint; compare `tls.fingerprint` with the certificate"
    reason = getattr(inner, "reason", None) or type(inner).__name__
    return f"no TLS: {str(reason).replace('_', ' ').lower()}; check that the endpoint speaks https"


def _why(error: BaseException) -> str:
    inner = _innermost(error)
    if isinstance(inner, ssl.SSLError):
        return str(inner.reason or "no certificates in it").replace("_", " ").lower()
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return str(inner) or type(inner).__name__


def _innermost(error: BaseException) -> BaseException:
    """Follow a library's wrappers to what the system said."""
    seen = 0
    while seen < 10 and (found := _inner(error)) is not None:  # noqa: PLR2004 -- wrappers are three deep, a circle has no end
        error, seen = found, seen + 1
    return error


def _inner(error: BaseException) -> BaseException | None:
    wrapped = next((one for one in error.args if isinstance(one, BaseException)), None)
    if wrapped is not None or isinstance(error, ssl.SSLError):  # its `reason` is a text
        return wrapped
    return error.__cause__ or getattr(error, "reason", None)
