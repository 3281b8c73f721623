"""Questions about the cluster, and the making of topics."""

# ruff: noqa: SLF001  what the library does wrong inside can be answered only there

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, errors
from kafka.admin import ConfigResource, ConfigResourceType

from spikebridge.errors import LogDenied, LogRefused
from spikebridge.kafka.client import CALL_S, Partition, Place, TopicFacts, check_settings_readable, operation
from spikebridge.kafka.kafka_python.causes import reason
from spikebridge.kafka.kafka_python.reach import REQUEST_S, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spikebridge.kafka.client import NewTopic
    from spikebridge.kafka.kafka_python.reach import Reach

_NO_ERROR = 0
_UNKNOWN_TOPIC = 3
_NO_GROUP = "GroupIdNotFoundError"
_PAUSE_S = 0.1


class KafkaPythonAdmin:
    """What `setup`, `doctor` and `status` ask, and what every start asks once."""

    def __init__(self, reach: Reach) -> None:
        """Connect."""
        self._reach = reach
        reach.check("admin")
        with reach.told("admin"):
            self._admin = KafkaAdminClient(**reach.settings)

    def cluster_id(self) -> str:
        """Return the cluster's id."""
        return str(self._ask("the cluster", self._admin.describe_cluster)["cluster_id"])

    def brokers(self) -> int:
        """Return how many brokers are alive; the answer also names those that are fenced, where brokers are new enough to say so."""
        return sum(not broker.get("is_fenced") for broker in self._ask("the cluster", self._admin.describe_cluster)["brokers"])

    def topics(self) -> list[str]:
        """Return the names of all topics that we may see, internal ones left out."""
        described = self._ask("all topics", self._admin.describe_topics)
        return sorted(topic["name"] for topic in described if not topic["is_internal"])

    def describe(self, topics: Sequence[str]) -> dict[str, TopicFacts]:
        """Return the topics that are there; others are left out."""
        if not topics:
            return {}
        return self._ask(f"topics {', '.join(topics)}", lambda: self._described(list(topics)))  # type: ignore[no-any-return]

    def _described(self, topics: list[str]) -> dict[str, TopicFacts]:
        there = {}
        for topic in self._admin.describe_topics(topics):
            if topic["error_code"] == _NO_ERROR:
                there[topic["name"]] = topic
            elif topic["error_code"] != _UNKNOWN_TOPIC:
                raise errors.for_code(topic["error_code"])(topic["name"])
        # Fault: settings that are refused come back as none.
        check_settings_readable(self._reach.where, {name: _allowed(topic) for name, topic in there.items()})
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
        configs = self._admin.describe_configs(asked, config_filter="all")["topic"] if asked else {}
        return {name: _facts(topic, configs[name]) for name, topic in there.items()}

    def allowed(self, topics: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return what we may do with the topics that are there and that we may see."""
        described = self._ask("our rights", lambda: self._admin.describe_topics(list(topics))) if topics else []
        return {topic["name"]: _allowed(topic) for topic in described if topic["error_code"] == _NO_ERROR}

    def create(self, topics: Sequence[NewTopic]) -> None:
        """Create topics; one that is there already is `LogRefused`."""
        wanted = {
            topic.name: {"num_partitions": topic.partitions, "replication_factor": topic.replicas, "configs": dict(topic.configs)}
            for topic in topics
        }
        if not wanted:
            return
        what = f"creating topics {', '.join(wanted)}"
        with self._reach.told(what):
            answers = self._admin.create_topics(wanted, timeout_ms=milliseconds(REQUEST_S), raise_errors=False)["topics"]
            failed = [(topic, errors.for_code(topic["error_code"])) for topic in answers if topic["error_code"] != _NO_ERROR]
            if not failed:
                self._admin.wait_for_topics(list(wanted), timeout_ms=milliseconds(CALL_S))
        if failed:
            text = "; ".join(f"{topic['name']}: {topic['error_message'] or reason(kind())}" for topic, kind in failed)
            denied = any(issubclass(kind, errors.AuthorizationError) for _, kind in failed)
            raise (LogDenied if denied else LogRefused)(f"{self._reach.where}: {what}: {text}")

    def committed(self, group: str) -> dict[Partition, Place]:
        """Return all positions of a group."""
        places = self._ask(f"positions of group {group}", lambda: self._admin.list_group_offsets({group: None})[group])
        return {Partition(*partition): Place.read(place.offset, place.metadata) for partition, place in places.items()}

    def members(self, group: str) -> dict[str, frozenset[Partition]]:
        """Return who is in a group, by instance id (else member id), and what each owns."""
        members = self._ask(f"members of group {group}", lambda: self._members(group))
        return {member["group_instance_id"] or member["member_id"]: _owned(member["member_assignment"]) for member in members}

    def _members(self, group: str) -> list[dict[str, Any]]:
        described = self._admin.describe_groups([group])[group]
        said = described["error"] or ""
        if said and _NO_GROUP not in said:
            # Fault: the error comes as text, and the class is asked for by its name.
            kind = getattr(errors, said.split("] ")[-1].split(":")[0], errors.KafkaError)
            raise kind(said.partition(": ")[2])
        return [] if said else described["members"]

    def _ask(self, what: str, question: Callable[[], Any]) -> Any:
        """
        Ask until there is an answer or the time is up.

        Fault: who coordinates a group and who controls the cluster is remembered for ever, also after that server has died.
        """
        end = time.monotonic() + CALL_S
        while True:
            try:
                return question()
            except errors.KafkaError as error:
                if time.monotonic() > end or not isinstance(error, errors.RetriableError):
                    raise self._reach.log_error(f"asking for {what}", error) from error
            self._admin._manager.cluster._coordinators.clear()
            self._admin._controller_id = None
            time.sleep(_PAUSE_S)

    def close(self) -> None:
        """Let go; twice does nothing, and nothing is raised."""
        with suppress(errors.KafkaError):
            self._admin.close()


def _facts(topic: Mapping[str, Any], configs: Mapping[str, Any]) -> TopicFacts:
    partitions = topic["partitions"]
    return TopicFacts(
        id=topic["topic_id"],
        partitions=len(partitions),
        replicas=min((len(partition["replica_nodes"]) for partition in partitions), default=0),
        configs={name: str(config["value"]) for name, config in configs.items()},
        leaderless=frozenset(partition["partition_index"] for partition in partitions if partition["leader_id"] < 0),
    )


def _allowed(topic: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(map(operation, topic.get("authorized_operations") or ()))


def _owned(assignment: Any) -> frozenset[Partition]:
    topics = assignment["assigned_partitions"] if assignment else []
    return frozenset(Partition(topic["topic"], number) for topic in topics for number in topic["partitions"])
