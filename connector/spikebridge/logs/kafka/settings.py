"""What operators write of a Kafka log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, NamedTuple, Self

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from spikebridge.kafka.connection import Connection, Membership, Topic, connect
from spikebridge.validation import OneOrMore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

    from spikebridge.kafka.client import Client

_MAX_TOPICS = 100
_INTERNAL = "__"
_TENANTS = "spikebridge-(?:alerts|revisions|dead-letters)-[a-z0-9_]+"
"""What is another tenant's by default: two that took each other's dead letters for spikes would bury them for ever."""


def _pattern(value: str) -> str:
    try:
        re.compile(value)
        re.compile(f"(?:{value})")  # as it is asked with; flags for the whole of it can't stand there
    except re.error as error:
        message = f"expected a regular expression: {error}"
        raise ValueError(message) from None
    return value


Topics = OneOrMore[Topic]


class Names(NamedTuple):
    """The topics and groups of one tenant, as the configuration names them or by default."""

    alerts: str
    revisions: str
    dead_letters: str
    group: str


class Settings(Connection, Membership):
    """Topics of a cluster as spike log and alert log."""

    topics: Topics = Field([], max_length=_MAX_TOPICS, description="The topics with spike frames. Give these or `pattern`.")
    pattern: Annotated[str, AfterValidator(_pattern)] = Field(
        "",
        max_length=1_000,
        description="A regular expression that the whole name of a topic with spike frames matches. "
        "What the service writes itself, any tenant's default names of that, topics of Kafka sinks on these servers and Kafka's own (`__*`) are left out.",
    )
    alerts: Topic | None = Field(None, description="The topic of the alert log. Default: spikebridge-alerts-TENANT.")
    revisions: Topic | None = Field(
        None, description="The compacted topic of the revisions. Default: spikebridge-revisions-TENANT."
    )
    dead_letters: Topic | None = Field(
        None, description="Where records go that are no spikes. Default: spikebridge-dead-letters-TENANT."
    )
    group: Topic | None = Field(
        None,
        description="The consumer group of the spikes stage; the other stages add `.` and their name. Default: spikebridge-TENANT.",
    )
    append: bool = Field(
        True,
        description="Whether the service may append ticks and markers to the spike topics. Without it silence is not watched. Default true.",
    )
    keys: bool = Field(True, description="Whether a record's key must be the id of its device. Default true.")
    _written: frozenset[str] = PrivateAttr(frozenset())

    @model_validator(mode="after")
    def _some_topics(self) -> Self:
        if bool(self.topics) == bool(self.pattern):
            message = "give either topics or pattern"
            raise ValueError(message)
        return self

    def apart(self, tenant: str, sinks: Iterable[BaseModel]) -> Self:
        """Return settings that read as spikes nothing that the service writes itself; `ValueError` names it where `topics` does."""
        names = self.names(tenant)
        there = [sink for sink in sinks if isinstance(sink, Connection) and not {*sink.servers}.isdisjoint(self.servers)]
        written = frozenset((names.alerts, names.revisions, names.dead_letters, *(getattr(sink, "topic", "") for sink in there)))
        found = self.model_copy()
        found._written = written  # noqa: SLF001 -- of its own copy
        for name in self.topics:
            if whose := found.whose(name):
                message = f'expected topics with spikes, found "{name}", {whose}'
                raise ValueError(message)
        return found

    def whose(self, topic: str) -> str:
        """Say why a topic is never read as spikes, whatever the pattern; "" of any other."""
        if topic in self._written:
            return "which the service itself writes to"
        if topic.startswith(_INTERNAL):
            return "which is Kafka's own"
        return "which is another tenant's by default" if self.pattern and re.fullmatch(_TENANTS, topic) else ""

    @property
    def matching(self) -> str:
        """The pattern, without what is never read as spikes; "" where topics are named."""
        others = "|".join(map(re.escape, sorted(self._written)))
        return rf"(?!{_INTERNAL}|(?:{_TENANTS}|{others})\Z)(?:{self.pattern})" if self.pattern else ""

    def names(self, tenant: str) -> Names:
        """Fill in the defaults of a tenant."""
        return Names(
            alerts=self.alerts or f"spikebridge-alerts-{tenant}",
            revisions=self.revisions or f"spikebridge-revisions-{tenant}",
            dead_letters=self.dead_letters or f"spikebridge-dead-letters-{tenant}",
            group=self.group or f"spikebridge-{tenant}",
        )


def client_of(settings: Settings) -> Client:
    """Return the client of a log's cluster, not connected yet; its memberships are as the log's settings say."""
    return connect(connection=settings, membership=settings)
