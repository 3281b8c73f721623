"""What the topics of a Kafka log must be, and how those of a cluster differ. Pure: `setup` creates by it, `doctor` compares by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from spikebridge.kafka.client import MAX_RECORD_BYTES, NewTopic
from spikebridge.limits import MINUTE
from spikebridge.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from spikebridge.kafka.client import TopicFacts
    from spikebridge.logs.kafka.settings import Names

Role = Literal["spikes", "alerts", "revisions", "dead letters"]
Level = Literal["error", "warning"]

DAY = 24 * 60 * MINUTE
OUTAGE_NS = DAY
"""The longest time that an outage of ours, or of a sink, is expected to take: spikes are to be kept for that and the look-back."""

LEAST_ALERTS_NS = 2 * DAY
DEAD_LETTERS_NS = 30 * DAY
SAFE_REPLICAS = 3
MESSAGE_BYTES = 2 << 20
"""What a topic of ours takes in one batch, which may hold our largest record alone, or smaller ones together."""

_MS = 1_000_000


class Shape(NamedTuple):
    """
    What an operator decides of the topics.

    `partitions` of spikes and alerts; 0 leaves them as they are. `spike_bytes` is a limit for each partition; -1 is none.
    """

    partitions: int = 12
    replicas: int = SAFE_REPLICAS
    spike_age_ns: int = 7 * DAY
    spike_bytes: int = -1
    alert_age_ns: int = 7 * DAY


class Wanted(NamedTuple):
    """A topic with what it is for."""

    role: Role
    topic: NewTopic


class Difference(NamedTuple):
    """Where a topic isn't what it must be. `mend` is the command of Kafka's own that mends it, or what else is to be done."""

    level: Level
    topic: str
    what: str
    found: str
    expected: str
    why: str
    mend: str

    def __str__(self) -> str:
        """Read as one line: where, what is expected, what was found, why it matters, what to do."""
        return f"topic {self.topic}: {self.told}; {self.mend}"

    @property
    def told(self) -> str:
        """What is told of it, without what to do."""
        what = f"{self.what}: " if self.what else ""
        return f"{what}expected {self.expected}, found {self.found}: {self.why}"


def wanted(spike_topics: Sequence[str], names: Names, shape: Shape) -> list[Wanted]:
    """Return every topic as `setup` creates it."""
    alerts = {"retention.ms": shape.alert_age_ns // _MS, "retention.bytes": -1}
    letters = {"retention.ms": DEAD_LETTERS_NS // _MS}
    return [
        *(wanted_spikes(name, shape) for name in spike_topics),
        _wanted("alerts", names.alerts, shape, {"cleanup.policy": "delete", **alerts}),
        _wanted("revisions", names.revisions, shape._replace(partitions=1), {"cleanup.policy": "compact"}),
        _wanted("dead letters", names.dead_letters, shape._replace(partitions=1), {"cleanup.policy": "delete", **letters}),
    ]


def wanted_spikes(name: str, shape: Shape) -> Wanted:
    """Return a topic with spikes."""
    limits = {"retention.ms": shape.spike_age_ns // _MS, "retention.bytes": shape.spike_bytes}
    return _wanted("spikes", name, shape, {"cleanup.policy": "delete", **limits})


def _wanted(role: Role, name: str, shape: Shape, configs: Mapping[str, object]) -> Wanted:
    common = {
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": 2 if shape.replicas >= SAFE_REPLICAS else 1,
        "unclean.leader.election.enable": "false",
        "max.message.bytes": MESSAGE_BYTES,
    }
    written = {key: str(value) for key, value in {**common, **configs}.items()}
    return Wanted(role, NewTopic(name, shape.partitions, shape.replicas, written))


def least_shape(look_back_ns: int) -> Shape:
    """Return what `doctor` compares with: nobody told it what was decided, so it asks for no more than what is needed."""
    return Shape(partitions=0, spike_age_ns=look_back_ns + OUTAGE_NS, alert_age_ns=LEAST_ALERTS_NS)


def differences(asked: Sequence[Wanted], found: Mapping[str, TopicFacts], *, look_back_ns: int, servers: str) -> list[Difference]:
    """Compare all topics; errors first."""
    told: list[Difference] = []
    for one in asked:
        facts = found.get(one.topic.name)
        if facts is None:
            why, mend = f"it holds the {one.role}", "create it with: spikebridge setup kafka"
            told.append(Difference("error", one.topic.name, "", "none", "it to be there", why, mend))
        else:
            told += _Comparison(one, facts, look_back_ns, servers).differences()
    return sorted(told, key=lambda difference: difference.level)


class _Comparison(NamedTuple):
    """One topic beside what it should be."""

    wanted: Wanted
    facts: TopicFacts
    look_back_ns: int
    servers: str

    def differences(self) -> Iterator[Difference]:
        yield from self._leaders()
        yield from self._partitions()
        yield from self._replicas()
        for check in _CHECKS:
            yield from check(self)

    def number(self, config: str) -> int:
        """Return a number of the topic's configuration; -1 where it has none, which means no limit."""
        try:
            return int(self.facts.configs.get(config, "-1"))
        except ValueError:
            return -1

    def asked(self, config: str) -> str:
        return self.wanted.topic.configs[config]

    def config(self, level: Level, config: str, expected: str, why: str, value: str = "", found: str = "") -> Difference:
        """Say what is wrong with a value of the configuration; `value` is what the command sets, where that isn't what is expected."""
        found = found or self.facts.configs.get(config, "nothing")
        alter = (
            f"kafka-configs.sh --bootstrap-server {self.servers} --entity-type topics "
            f"--entity-name {self.wanted.topic.name} --alter --add-config {config}={value or expected}"
        )
        return Difference(level, self.wanted.topic.name, config, found, expected, why, alter)

    def plain(self, level: Level, what: str, found: object, expected: str, why: str, mend: str) -> Difference:
        """Say what no command of ours to name mends."""
        return Difference(level, self.wanted.topic.name, what, str(found), expected, why, mend)

    def _leaders(self) -> Iterator[Difference]:
        if self.facts.leaderless:
            numbers = ", ".join(map(str, sorted(self.facts.leaderless)[:20]))
            why, mend = "nothing can be read or appended there", "start the brokers that hold them"
            yield self.plain("error", "partitions without a leader", numbers, "none", why, mend)

    def _partitions(self) -> Iterator[Difference]:
        asked, found = self.wanted.topic.partitions, self.facts.partitions
        if self.wanted.role == "revisions" and found != 1:
            why, mend = "the number of a revision is its offset", "delete it and run setup again, before the first publish"
            yield self.plain("error", "partitions", found, "1", why, mend)
        elif self.wanted.role == "spikes" and asked and found != asked:
            why = "another number moves devices to other partitions, where their windows and alert ids begin anew"
            yield self.plain("warning", "partitions", found, str(asked), why, "leave it as it is, or begin with a new topic")

    def _replicas(self) -> Iterator[Difference]:
        asked, found = self.wanted.topic.replicas, self.facts.replicas
        if found < asked:
            why = "it doesn't outlive the loss of a broker" if found == 1 else "fewer brokers may be lost"
            mend = "add replicas with kafka-reassign-partitions.sh, or take note"
            yield self.plain("warning", "replicas", found, str(asked), why, mend)


def _stamps(topic: _Comparison) -> Iterator[Difference]:
    name = "message.timestamp.type"
    if topic.facts.configs.get(name) != "LogAppendTime":
        whys = {
            "spikes": "silence is not watched, and a mapping with `absence` is refused",
            "alerts": "alerts are forgotten by the clocks of the instances",
        }
        level: Level = "error" if topic.wanted.role == "alerts" else "warning"
        yield topic.config(level, name, "LogAppendTime", whys.get(topic.wanted.role, "times are those of the writers' clocks"))


def _policy(topic: _Comparison) -> Iterator[Difference]:
    name, role = "cleanup.policy", topic.wanted.role
    found = {word.strip() for word in topic.facts.configs.get(name, "").split(",")}
    if role == "revisions" and found != {"compact"}:
        yield topic.config("error", name, "compact", "revisions that are in force would be deleted")
    elif role != "revisions" and "compact" in found:
        yield topic.config("error", name, "delete", f"of the {role} with one key only the last would be left")


def _retention(topic: _Comparison) -> Iterator[Difference]:
    name, role = "retention.ms", topic.wanted.role
    kept_ms = topic.number(name)
    if role == "revisions" or kept_ms < 0:
        return
    asked_ms = int(topic.asked(name))
    least_ns, why = {
        "spikes": (topic.look_back_ns, "a restart must read back as far as the look-back"),
        "alerts": (LEAST_ALERTS_NS, "incidents and sinks that are away need them"),
    }.get(role, (0, ""))
    kept = format_duration(kept_ms * _MS)
    if kept_ms < least_ns // _MS:
        value = str(max(asked_ms, least_ns // _MS))
        yield topic.config("error", name, f"{format_duration(least_ns)} or more", why, value, kept)
    elif kept_ms < asked_ms:
        why = f"{role} are gone after an outage that lasts longer"
        yield topic.config("warning", name, f"{format_duration(asked_ms * _MS)} or more", why, str(asked_ms), kept)


def _size(topic: _Comparison) -> Iterator[Difference]:
    name, role = "retention.bytes", topic.wanted.role
    if role not in ("spikes", "alerts"):
        return
    kept, asked = topic.number(name), int(topic.asked(name))
    if kept >= 0 and (asked < 0 or kept < asked):
        expected = "no limit" if asked < 0 else f"{asked:,} or more"
        why = f"{role} go by size before their time: make sure that it holds the look-back at full rate"
        yield topic.config("warning", name, expected, why, str(asked), f"{kept:,}")


def _in_sync(topic: _Comparison) -> Iterator[Difference]:
    name, replicas, found = "min.insync.replicas", topic.facts.replicas, topic.number("min.insync.replicas")
    if replicas >= SAFE_REPLICAS and found < 2:  # noqa: PLR2004 -- one besides the leader
        level: Level = "error" if topic.wanted.role in ("alerts", "revisions") else "warning"
        yield topic.config(level, name, "2", "what one broker alone has acknowledged is gone with it")
    elif 1 < replicas <= found:
        yield topic.config("warning", name, str(max(1, replicas - 1)), "nothing can be appended while one broker is away")


def _elections(topic: _Comparison) -> Iterator[Difference]:
    name = "unclean.leader.election.enable"
    if topic.facts.configs.get(name) == "true":
        level: Level = "warning" if topic.wanted.role == "dead letters" else "error"
        yield topic.config(level, name, "false", "a broker that had fallen behind may become leader, and records vanish")


def _largest(topic: _Comparison) -> Iterator[Difference]:
    name, found = "max.message.bytes", topic.number("max.message.bytes")
    if 0 <= found < MAX_RECORD_BYTES:
        level: Level = "warning" if topic.wanted.role == "spikes" else "error"
        why = "the largest record would be refused" + (", and be a dead letter" if topic.wanted.role == "alerts" else "")
        yield topic.config(level, name, f"{MAX_RECORD_BYTES:,} or more", why, str(MESSAGE_BYTES), f"{found:,}")


_CHECKS: tuple[Callable[[_Comparison], Iterator[Difference]], ...] = (
    _stamps,
    _policy,
    _retention,
    _size,
    _in_sync,
    _elections,
    _largest,
)
