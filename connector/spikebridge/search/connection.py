"""How a search server is reached and written to: what the two sinks have in common in the configuration."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Annotated, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    model_validator,
)

from spikebridge.errors import SpikebridgeError
from spikebridge.limits import SECOND
from spikebridge.search.templates import Mode
from spikebridge.tls import Tls
from spikebridge.validation import Content, Duration, OneOrMore, Size

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikebridge.search.server import Server

BATCH_BYTES = 5_000_000
BATCH_ENTRIES = 500
"""Measured: 8,000 to 12,000 documents a second over one connection."""

_FINGERPRINT_DIGITS = 64


def _endpoint(value: str) -> str:
    try:
        parts = urlsplit(value)
        broken = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or not value.isprintable()
    except ValueError:
        broken = True
    if broken or parts.query or parts.fragment or " " in value:
        message = "expected a URL such as https://search.example:9200"
        raise ValueError(message)
    if parts.username is not None or parts.password is not None:
        message = "expected a URL without user and password: they have keys of their own"
        raise ValueError(message)
    return value.rstrip("/")


def _fingerprint(value: str) -> str:
    digits = value.replace(":", "").lower()
    if not re.fullmatch(rf"[0-9a-f]{{{_FINGERPRINT_DIGITS}}}", digits):
        message = f"expected the SHA-256 of the server's certificate, {_FINGERPRINT_DIGITS} hexadecimal digits"
        raise ValueError(message)
    return digits


def _header(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or not re.fullmatch(r"[!-~]+", text):
        message = "expected a key as the server gave it out: letters, digits and signs without spaces"
        raise ValueError(message)
    return value


Endpoints = OneOrMore[Annotated[str, AfterValidator(_endpoint)]]
Key = Annotated[SecretStr, AfterValidator(_header)]


class SearchTls(Tls):
    """TLS to search servers, which make a certificate of their own: its fingerprint may be all there is to trust."""

    fingerprint: Annotated[str, AfterValidator(_fingerprint)] | None = Field(
        None,
        description="SHA-256 of the server's certificate, instead of an authority; `openssl x509 -fingerprint -sha256` prints it.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.ca and self.fingerprint:
            message = "expected ca or fingerprint, found both"
            raise ValueError(message)
        return self


class Connection(Content):
    """A cluster, and who we are there."""

    endpoint: Endpoints = Field(
        min_length=1, max_length=32, description="A URL of the cluster, or a list: requests go round, past those that are away."
    )
    user: str = Field("", description="Our name. Default: none.")
    password: SecretStr = Field(SecretStr(""), description="Our password; write `${env:NAME}` or `${file:PATH}`.")
    tls: SearchTls = Field(SearchTls(), description="Whom to trust. Default: the authorities of the system.")
    timeout_ns: Duration = Field(
        10 * SECOND,
        ge=SECOND,
        le=60 * SECOND,
        alias="timeout",
        description="For so long the server may wait for its own nodes before it answers; we wait 10s longer. At most 1m. Default 10s.",
    )

    @property
    def where(self) -> str:
        """Name the cluster in messages."""
        return ", ".join(self.endpoint)

    @property
    def timeout_s(self) -> float:
        """How long the server may take, in seconds."""
        return self.timeout_ns / SECOND

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(set(self.endpoint)) < len(self.endpoint):
            message = "endpoint: expected each one once"
            raise ValueError(message)
        if bool(self.user) != bool(self.password.get_secret_value()):
            message = "expected both of user and password, or neither"
            raise ValueError(message)
        if self.tls != SearchTls() and not all(one.startswith("https:") for one in self.endpoint):
            message = "tls: expected https endpoints only: nothing is encrypted on http"
            raise ValueError(message)
        return self

    def authorization(self) -> str | None:
        """Return the value of the header that says who we are: a secret."""
        if not self.user:
            return None
        return f"Basic {b64encode(f'{self.user}:{self.password.get_secret_value()}'.encode()).decode()}"


class Destination(Connection):
    """A cluster that takes findings."""

    mode: Mode = Field(
        "index",
        description="`index`: an index per day of the alerts, exactly once. `stream`: a data stream, in which what is repeated after a "
        "rollover is there twice. Decide once per tenant. Default index.",
    )
    batch_size: Size = Field(
        BATCH_BYTES,
        ge=100_000,
        le=100_000_000,
        description="Bytes of documents in a request, before compression. Default 5MB.",
    )
    batch_entries: int = Field(BATCH_ENTRIES, ge=1, le=10_000, description="Findings in a request. Default 500.")
    compress: bool = Field(True, description="Compress requests with gzip. Default true.")


def connect(connection: Connection, wait: Callable[[float], bool] = lambda _seconds: False) -> Server:
    """Return the cluster, not connected yet; what is wrong with the installation is said here. `wait` returns whether to stop."""
    try:
        from spikebridge.search.server import Server  # noqa: PLC0415 -- the extra is needed from here on
    except ModuleNotFoundError as error:
        raise SpikebridgeError(f"{error.name} is not installed; install it with: pip install 'spikebridge[elastic]'") from error
    return Server(connection, wait)
