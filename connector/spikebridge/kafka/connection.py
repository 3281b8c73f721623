"""How a cluster is reached: what logs and sinks on Kafka have in common in the configuration."""

from __future__ import annotations

import importlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    model_validator,
)

from spikebridge.errors import LogDenied, SpikebridgeError
from spikebridge.limits import SECOND
from spikebridge.tls import BadTls, Tls, outdated, tls_context
from spikebridge.validation import Content, Duration, LocalPath, OneOrMore

if TYPE_CHECKING:
    from ssl import SSLContext

    from spikebridge.kafka.client import Client

CLIENTS = {
    "kafka-python": "spikebridge.kafka.kafka_python:KafkaPythonClient",
    "confluent": "spikebridge.kafka.confluent:ConfluentClient",
}
EXTRAS = {"kafka-python": "kafka", "confluent": "confluent"}
MAX_POLL_S = 300.0
"""A member that does not poll for so long loses its partitions: far above our longest batch."""


def _server(value: str) -> str:
    if not re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}", value):
        message = "expected HOST:PORT, for example kafka-1:9092"
        raise ValueError(message)
    return value


def _instance(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,128}", name):
        message = "expected letters, digits, `.`, `_` and `-`, at most 128"
        raise ValueError(message)
    return name


def _topic(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name) or name in (".", ".."):
        message = "expected a topic's name: letters, digits, `.`, `_` and `-`"
        raise ValueError(message)
    return name


Topic = Annotated[str, AfterValidator(_topic)]

Servers = OneOrMore[Annotated[str, AfterValidator(_server)]]


class Sasl(Content):
    """Who we are. PLAIN sends the password as it is: use it over TLS only."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(description="How we prove it.")
    user: str = Field("", description="Our name.")
    password: SecretStr = Field(SecretStr(""), description="Our password; write `${env:NAME}` or `${file:PATH}`.")
    token_file: LocalPath | None = Field(None, description="OAUTHBEARER: a file with the token, read anew at least every minute.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.mechanism == "OAUTHBEARER" and not self.token_file:
            message = "OAUTHBEARER needs token_file"
            raise ValueError(message)
        if self.mechanism != "OAUTHBEARER" and not (self.user and self.password.get_secret_value()):
            message = f"{self.mechanism} needs user and password"
            raise ValueError(message)
        return self


class Connection(Content):
    """A Kafka cluster."""

    servers: Servers = Field(min_length=1, max_length=100, description="Some of the brokers, HOST:PORT; the others are found.")
    client: Literal["kafka-python", "confluent"] = Field(
        "kafka-python",
        description="The library: kafka-python (pure Python, extra `kafka`) or confluent (C, a third to a fifth of the CPU, extra `confluent`).",
    )
    tls: Tls | None = Field(None, description="TLS to the brokers. Default: none.")
    sasl: Sasl | None = Field(None, description="User and password, or a token. Default: none.")

    @property
    def where(self) -> str:
        """Name the cluster in messages."""
        return ",".join(self.servers)

    def ssl_context(self) -> SSLContext | None:
        """Read the certificates, whatever the client; `LogDenied` names the file that can't be used, and no waiting mends it."""
        if self.tls is None:
            return None
        try:
            return tls_context(self.tls)
        except BadTls as error:
            raise LogDenied(f"kafka {self.where}: {error}") from error

    def outdated(self) -> str:
        """Say that our certificate isn't good now, to be put behind what a broker says; nothing if it is."""
        said = outdated(self.tls, datetime.now(UTC))
        return f"; {said}" if said else ""


class Membership(Content):
    """How an instance is known in its consumer groups, and how soon it counts as dead."""

    instance: Annotated[str, AfterValidator(_instance)] = Field(
        "",
        description="A name for this instance that survives a restart (`${env:HOSTNAME}`): its partitions wait for it that long. "
        "No two instances may have the same. Default: none, partitions move at once.",
    )
    session_ns: Duration = Field(
        10 * SECOND,
        ge=6 * SECOND,
        le=300 * SECOND,
        alias="session",
        description="An instance that is not heard of for so long is dead. Default 10s.",
    )


def connect(connection: Connection, membership: Membership | None = None) -> Client:
    """Return the configured client, not connected yet."""
    module, _, name = CLIENTS[connection.client].partition(":")
    try:
        made: Any = getattr(importlib.import_module(module), name)
    except ImportError as error:
        extra = EXTRAS[connection.client]
        text = f"client {connection.client}: {error.name or error} is not installed; install it with: pip install 'spikebridge[{extra}]'"
        raise SpikebridgeError(text) from error
    client: Client = made(connection, membership or Membership())
    return client
