"""What the topics of a Kafka log must be, how others differ, and who may do what: as values."""

from __future__ import annotations

import re
import shlex

import pytest

from spikebridge.kafka.client import MAX_RECORD_BYTES, TopicFacts
from spikebridge.limits import MINUTE
from spikebridge.logs.kafka import Settings
from spikebridge.logs.kafka.rights import Right, commands, rights
from spikebridge.logs.kafka.topics import DAY, OUTAGE_NS, Difference, Role, Shape, differences, least_shape, wanted

SHAPE = Shape()
LOOK_BACK = 30 * MINUTE
SETTINGS = Settings.model_validate({"servers": ["kafka:9092"], "topics": ["spikes"]})
NAMES = SETTINGS.names("acme")
NAME_OF: dict[Role, str] = {
    "spikes": "spikes",
    "alerts": "spikebridge-alerts-acme",
    "revisions": "spikebridge-revisions-acme",
    "dead letters": "spikebridge-dead-letters-acme",
}


def as_created(shape: Shape = SHAPE) -> dict[str, TopicFacts]:
    """Return what a cluster says of topics that `setup` made."""
    return {
        one.topic.name: TopicFacts("id", one.topic.partitions, one.topic.replicas, one.topic.configs)
        for one in wanted(["spikes"], NAMES, shape)
    }


def compared(found: dict[str, TopicFacts], shape: Shape | None = None) -> list[Difference]:
    """Compare with what `doctor` asks for, or with what `setup` was told."""
    asked = wanted(["spikes"], NAMES, shape or least_shape(LOOK_BACK))
    return differences(asked, found, look_back_ns=LOOK_BACK, servers="kafka:9092")


def altered(role: Role, **changes: str) -> list[Difference]:
    """Change the configuration of one topic, and return what is said about it."""
    found = as_created()
    facts = found[NAME_OF[role]]
    dotted = {name.replace("_", "."): value for name, value in changes.items()}
    found[NAME_OF[role]] = facts._replace(configs={**facts.configs, **dotted})
    return compared(found)


def test_what_setup_creates_is_what_doctor_asks_for() -> None:
    """No difference, whatever an operator chose of what is free."""
    for shape in (Shape(), Shape(partitions=1), Shape(alert_age_ns=3 * DAY, spike_age_ns=2 * DAY)):
        assert compared(as_created(shape), shape) == []
        assert compared(as_created(shape)) == []


def test_the_topics_are_as_the_design_has_them() -> None:
    """Written out once: a change of this is a change of what is promised."""
    common = {"message.timestamp.type": "LogAppendTime", "min.insync.replicas": "2", "unclean.leader.election.enable": "false"}
    common["max.message.bytes"] = "2097152"
    deleted = {**common, "cleanup.policy": "delete"}
    week, month = str(7 * 86_400_000), str(30 * 86_400_000)
    assert [(one.role, *one.topic) for one in wanted(["spikes"], NAMES, Shape())] == [
        ("spikes", "spikes", 12, 3, {**deleted, "retention.ms": week, "retention.bytes": "-1"}),
        ("alerts", NAME_OF["alerts"], 12, 3, {**deleted, "retention.ms": week, "retention.bytes": "-1"}),
        ("revisions", NAME_OF["revisions"], 1, 3, {**common, "cleanup.policy": "compact"}),
        ("dead letters", NAME_OF["dead letters"], 1, 3, {**deleted, "retention.ms": month}),
    ]


def test_the_largest_record_fits() -> None:
    """Also with the wrapping of its batch."""
    assert all(int(one.topic.configs["max.message.bytes"]) > MAX_RECORD_BYTES for one in wanted(["spikes"], NAMES, Shape()))


@pytest.mark.parametrize("replicas", [1, 2])
def test_few_replicas_can_still_be_written(replicas: int) -> None:
    """Two in sync are asked for only where one of three may be away."""
    for one in wanted(["spikes"], NAMES, Shape(replicas=replicas)):
        assert one.topic.configs["min.insync.replicas"] == "1"


@pytest.mark.parametrize(
    ("role", "changes", "level", "told"),
    [
        ("spikes", {"message_timestamp_type": "CreateTime"}, "warning", "silence is not watched"),
        ("alerts", {"message_timestamp_type": "CreateTime"}, "error", "expected LogAppendTime, found CreateTime"),
        ("spikes", {"cleanup_policy": "compact"}, "error", "only the last would be left"),
        ("alerts", {"cleanup_policy": "compact,delete"}, "error", "expected delete, found compact,delete"),
        ("revisions", {"cleanup_policy": "delete"}, "error", "revisions that are in force would be deleted"),
        ("revisions", {"cleanup_policy": "compact,delete"}, "error", "expected compact"),
        ("spikes", {"retention_ms": "1799999"}, "error", "expected 30m or more, found 29m 59s 999ms"),
        ("spikes", {"retention_ms": "1800000"}, "warning", "expected 1d 30m or more, found 30m"),
        ("alerts", {"retention_ms": str(47 * 3_600_000)}, "error", "expected 2d or more, found 1d 23h"),
        ("spikes", {"retention_bytes": "1000"}, "warning", "expected no limit, found 1,000"),
        ("alerts", {"min_insync_replicas": "1"}, "error", "what one broker alone has acknowledged is gone with it"),
        ("spikes", {"min_insync_replicas": "1"}, "warning", "min.insync.replicas: expected 2, found 1"),
        ("spikes", {"min_insync_replicas": "3"}, "warning", "nothing can be appended while one broker is away"),
        ("spikes", {"unclean_leader_election_enable": "true"}, "error", "records vanish"),
        ("dead letters", {"unclean_leader_election_enable": "true"}, "warning", "records vanish"),
        ("alerts", {"max_message_bytes": "1048588"}, "error", "be a dead letter"),
        ("spikes", {"max_message_bytes": "1000"}, "warning", "the largest record would be refused"),
    ],
)
def test_each_difference_is_told_with_its_weight(role: Role, changes: dict[str, str], level: str, told: str) -> None:
    """One line: which topic, what was expected, what was found, why it matters."""
    (difference,) = altered(role, **changes)

    assert difference.level == level
    assert str(difference).startswith(f"topic {NAME_OF[role]}: {next(iter(changes)).replace('_', '.')}: expected ")
    assert told in str(difference)


@pytest.mark.parametrize(
    ("role", "changes"),
    [
        ("spikes", {"message_timestamp_type": "CreateTime"}),
        ("spikes", {"retention_ms": "1000"}),
        ("alerts", {"retention_ms": "1000"}),
        ("alerts", {"retention_bytes": "1000"}),
        ("revisions", {"cleanup_policy": "delete"}),
        ("alerts", {"min_insync_replicas": "3"}),
        ("dead letters", {"max_message_bytes": "1000"}),
    ],
)
def test_the_command_of_a_difference_mends_it(role: Role, changes: dict[str, str]) -> None:
    """What it sets, set, leaves no difference."""
    (difference,) = altered(role, **changes)
    words = shlex.split(difference.mend)
    name, value = words[words.index("--add-config") + 1].split("=")

    assert words[words.index("--entity-name") + 1] == NAME_OF[role]
    assert words[words.index("--bootstrap-server") + 1] == "kafka:9092"
    assert altered(role, **{name.replace(".", "_"): value}) == []


def test_what_has_no_limit_is_enough() -> None:
    """-1 keeps everything, and a topic that says nothing of a limit has none."""
    assert altered("spikes", retention_ms="-1") == []
    found = as_created()
    found["spikes"] = found["spikes"]._replace(configs={"message.timestamp.type": "LogAppendTime", "min.insync.replicas": "2"})
    assert compared(found) == []


def test_partitions_are_fixed_where_that_decides_alerts() -> None:
    """Spikes: other than asked for is told, and left. Alerts: free. Revisions: one."""
    found = {name: facts._replace(partitions=7) for name, facts in as_created().items()}
    told = {difference.topic: difference for difference in compared(found, Shape())}

    assert {name: difference.level for name, difference in told.items()} == {
        NAME_OF["revisions"]: "error",
        "spikes": "warning",
    }
    assert "expected 12, found 7" in str(told["spikes"])
    assert [difference.topic for difference in compared(found)] == [NAME_OF["revisions"]]


def test_what_is_missing_or_leaderless_comes_first() -> None:
    """Errors before warnings, each with what to do."""
    found = as_created(Shape(replicas=1))
    found["spikes"] = found["spikes"]._replace(leaderless=frozenset({3, 1}))
    del found[NAME_OF["alerts"]]
    told = [(one.level, one.topic, one.what) for one in compared(found)]

    assert told[:2] == [("error", "spikes", "partitions without a leader"), ("error", NAME_OF["alerts"], "")]
    assert [level for level, _, _ in told[2:]] == ["warning"] * 3
    assert "expected none, found 1, 3" in str(compared(found)[0])
    assert str(compared(found)[1]).startswith(f"topic {NAME_OF['alerts']}: expected it to be there, found none: ")
    assert "spikebridge setup kafka" in str(compared(found)[1])


def test_an_outage_is_part_of_what_spikes_are_kept_for() -> None:
    """A day more than the look-back, which a restart reads."""
    assert least_shape(LOOK_BACK).spike_age_ns == LOOK_BACK + OUTAGE_NS
    assert OUTAGE_NS == 24 * 60 * MINUTE


def test_rights_are_those_of_each_process() -> None:
    """Written out once; the live tests show that they are enough."""
    told = {(right.process, right.shown): right.operations for right in rights(SETTINGS, NAMES)}

    assert {name: operations for (process, name), operations in told.items() if process == "run"} == {
        "spikes": ("Read", "Write", "DescribeConfigs"),
        NAME_OF["alerts"]: ("Read", "Write", "DescribeConfigs"),
        NAME_OF["revisions"]: ("Read", "DescribeConfigs"),
        NAME_OF["dead letters"]: ("Write", "DescribeConfigs"),
        "spikebridge-acme": ("Read",),
        "spikebridge-acme.*": ("Read",),
    }
    assert told["send", "spikes"] == ("Write",)
    assert told["doctor", "spikebridge-acme"] == ("Describe",)
    assert {name: operations for (process, name), operations in told.items() if process == "status"} == {
        "spikes": ("Describe", "DescribeConfigs"),
        NAME_OF["alerts"]: ("Describe", "DescribeConfigs"),
        NAME_OF["revisions"]: ("Read",),
        "spikebridge-acme": ("Describe",),
        "spikebridge-acme.*": ("Describe",),
    }
    assert {operation for (process, _), some in told.items() if process == "setup" for operation in some} == {
        *("Create", "Describe", "DescribeConfigs")
    }


def test_who_may_not_append_to_spikes_asks_for_no_right_to() -> None:
    """`append: false`."""
    silent = SETTINGS.model_copy(update={"append": False})
    (right,) = [right for right in rights(silent, NAMES) if (right.process, right.name) == ("run", "spikes")]
    assert right.operations == ("Read", "DescribeConfigs")


@pytest.mark.parametrize(
    ("pattern", "name", "prefixed"),
    [
        ("spikes-.*", "spikes-", True),
        ("spikes?", "spike", True),
        ("plant[0-9]", "plant", True),
        (".*", "*", False),
        ("a|b", "*", False),
    ],
)
def test_a_pattern_becomes_the_narrowest_rule_that_kafka_knows(pattern: str, name: str, prefixed: bool) -> None:
    """Rules know names and beginnings; every name that matches is covered."""
    settings = Settings.model_validate({"servers": ["kafka:9092"], "pattern": pattern})
    (right,) = [right for right in rights(settings, NAMES) if right.process == "send"]

    assert (right.name, right.prefixed) == (name, prefixed)
    assert all(name == "*" or found.startswith(name) for found in ("spikes-1", "spike", "plant7") if re.fullmatch(pattern, found))


def test_commands_grant_what_the_table_says_and_survive_a_shell() -> None:
    """Each right is one command line; names of others are quoted."""
    some = [Right("run", "topic", "*", False, ("Read", "Write")), Right("run", "group", "g.", True, ("Read",))]
    first, second = (shlex.split(line) for line in commands(some, "CN=a b;c", "kafka:9092"))

    assert first[first.index("--allow-principal") + 1] == "User:CN=a b;c"
    assert [first[at + 1] for at, word in enumerate(first) if word == "--operation"] == ["Read", "Write"]
    assert first[-2:] == ["--topic", "*"]
    assert second[-4:] == ["--group", "g.", "--resource-pattern-type", "prefixed"]
