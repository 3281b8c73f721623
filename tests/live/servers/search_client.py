"""A plain HTTP client for search servers, for what tests ask of them; it retries nothing and interprets nothing."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TIMEOUT_S = 90.0
"""Above the minute for which a server waits for a master by itself."""


class Answer(NamedTuple):
    """What a server answered, errors too."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    def expect(self, *statuses: int) -> Answer:
        """Return itself if the status is one of these (2xx if none is named), otherwise raise with what the server said."""
        if self.status not in (statuses or range(200, 300)):
            raise AssertionError(
                f"expected status {statuses or '2xx'}, found {self.status}: {self.body[:1_000].decode(errors='replace')}"
            )
        return self


@dataclass(frozen=True)
class User:
    """A name and a password."""

    name: str
    password: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """The header's value."""
        return "Basic " + base64.b64encode(f"{self.name}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class ApiKey:
    """An API key: its id, to invalidate it, and what a client sends."""

    id: str
    encoded: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """The header's value."""
        return f"ApiKey {self.encoded}"


@dataclass(frozen=True)
class Client:
    """One server under one identity; `ca` is the only authority it trusts, `None` for plain HTTP or the system's."""

    url: str
    ca: Path | None = None
    identity: User | ApiKey | None = None

    def get(self, path: str) -> Answer:
        """GET."""
        return self.request("GET", path)

    def put(self, path: str, body: object = None) -> Answer:
        """PUT, with a JSON body if there is one."""
        return self.request("PUT", path, body)

    def post(self, path: str, body: object = None) -> Answer:
        """POST, with a JSON body if there is one."""
        return self.request("POST", path, body)

    def delete(self, path: str, body: object = None) -> Answer:
        """DELETE, with a JSON body if there is one."""
        return self.request("DELETE", path, body)

    def bulk(self, lines: Sequence[object], query: str = "refresh=true") -> Answer:
        """POST action and document lines to `_bulk`; what was written can be searched afterwards."""
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return self.request("POST", f"/_bulk?{query}", body, content_type="application/x-ndjson")

    def request(self, method: str, path: str, body: object = None, *, content_type: str = "application/json") -> Answer:
        """Send a request, bytes as they are, anything else as JSON; raises `OSError` when there is no answer."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {} if content is None else {"content-type": content_type}
        if self.identity:
            headers["authorization"] = self.identity.authorization
        connection = self._connection()
        try:
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        except http.client.HTTPException as error:
            raise ConnectionError(f"{self.url}: {type(error).__name__}: {error}") from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
        context = ssl.create_default_context(cafile=self.ca)
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_S, context=context)
