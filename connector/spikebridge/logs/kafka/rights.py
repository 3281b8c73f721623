"""The least that each process must be allowed to do on a cluster, in Kafka's own words. Pure."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.logs.kafka.settings import Names, Settings

Process = Literal["run", "publish", "send", "setup", "doctor", "status"]
PROCESSES: tuple[Process, ...] = ("run", "publish", "send", "setup", "doctor", "status")

_LOOK = ("Describe", "DescribeConfigs")


class Right(NamedTuple):
    """What one process may do with the topics or groups of a name; `prefixed` means all whose name begins so."""

    process: Process
    kind: Literal["topic", "group"]
    name: str
    prefixed: bool
    operations: tuple[str, ...]

    @property
    def shown(self) -> str:
        """Name them as a table does."""
        return f"{self.name}*" if self.prefixed else self.name


def rights(settings: Settings, names: Names) -> list[Right]:
    """Return the rights of every process; Read and Write include Describe."""
    spikes = [(topic, False) for topic in settings.topics] or [_beginning(settings.pattern)]
    ours = [(topic, False) for topic in (names.alerts, names.revisions, names.dead_letters)]
    told: list[Right] = []

    def may(process: Process, topics: Sequence[tuple[str, bool]], *operations: str) -> None:
        told.extend(Right(process, "topic", name, prefixed, operations) for name, prefixed in topics)

    alerts, revisions, letters = ([topic] for topic in ours)
    may("run", spikes, "Read", *(["Write"] if settings.append else []), "DescribeConfigs")
    may("run", alerts, "Read", "Write", "DescribeConfigs")
    may("run", revisions, "Read", "DescribeConfigs")
    may("run", letters, "Write", "DescribeConfigs")
    groups = ((names.group, False), (f"{names.group}.", True))
    told += [Right("run", "group", name, prefixed, ("Read",)) for name, prefixed in groups]
    may("publish", revisions, "Read", "Write")
    may("send", spikes, "Write")
    may("setup", [*spikes, *ours] if settings.topics else ours, "Create", *_LOOK)
    if settings.pattern:
        may("setup", spikes, *_LOOK)
    may("doctor", [*spikes, *alerts, *revisions], "Read", "DescribeConfigs")
    may("doctor", letters, "Read", "Write", "DescribeConfigs")
    told.append(Right("doctor", "group", names.group, False, ("Describe",)))
    may("status", [*spikes, *alerts], *_LOOK)
    may("status", revisions, "Read")
    told += [Right("status", "group", name, prefixed, ("Describe",)) for name, prefixed in groups]
    return told


def commands(some: Sequence[Right], principal: str, servers: str) -> list[str]:
    """Return the command lines that grant them."""
    lines = []
    for right in some:
        operations = " ".join(f"--operation {name}" for name in right.operations)
        pattern = " --resource-pattern-type prefixed" if right.prefixed else ""
        lines.append(
            f"kafka-acls.sh --bootstrap-server {servers} --add --allow-principal {shlex.quote(f'User:{principal}')} "
            f"{operations} --{right.kind} {shlex.quote(right.name)}{pattern}"
        )
    return lines


def _beginning(pattern: str) -> tuple[str, bool]:
    """Return what each name that matches begins with, for a rule of Kafka knows no regular expressions; `*` where nothing is sure."""
    found = re.match(r"[A-Za-z0-9_-]*", pattern)
    sure = found[0] if found and "|" not in pattern else ""
    if pattern[len(sure) : len(sure) + 1] in ("?", "*", "{"):
        sure = sure[:-1]
    return (sure, True) if sure else ("*", False)
