"""A revision whose content is no rule set: it never comes into force, in no stage and on no log, and is said once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.reference.detection import small, with_models
from tests.reference.plant import HERE, REVISIONS, SPIKES, Owner, Plant
from tests.reference.simulation import LIMITS, rule

from spikebridge.app.chosen import RevisionsWithoutAbsence
from spikebridge.app.content import models_in_force
from spikebridge.app.networks import ReadyRevisions
from spikebridge.app.readable import ReadableRevisions, Refusals
from spikebridge.errors import LogMissing, LogUnavailable, RevisionError, SchemaError
from spikebridge.limits import SECOND
from spikebridge.logs.spool import Spool
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.rules import RuleSet, known_revision, read_revision, rule_set_content
from spikebridge.metrics import RELOADS_REFUSED, Metrics
from spikebridge.pipeline import SpikesStage
from spikebridge.spikes.frame import encode_tick, marker_of
from spikebridge.testing import FakeClock, MemoryLog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spikebridge.logs import Switches
    from spikebridge.mapping.engine import DeadRecord, Taken

SPIKE = msgspec.json.encode({"device_id": "cam", "neuron_id": 5})
BAD = b'{"rules_version":1,"rules":[{"info":1}]}'
STAYS = "; it does not come into force, the last good one stays"
NEWER = b'{"rules_version":99,"rules":7}'


class Quiet:
    """An observer that hears nothing."""

    def batch(self, stage: SpikesStage, records: int, taken: Taken) -> None:
        """Ignore a batch."""

    def dead(self, log: str, partition: int, records: Sequence[DeadRecord]) -> None:
        """Ignore dead records."""


def rules(neuron: int) -> RuleSet:
    """Make a rule set of one rule."""
    return RuleSet(rules=[rule(f"neuron-{neuron}", (neuron, neuron), suppress=1)], limits=LIMITS)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "0 bytes that are none: Input data was truncated"),
        (b"\xff", "1 bytes that are none: JSON is malformed"),
        (b"{}", "2 bytes that are none: Object missing required field `rules_version`"),
        (BAD, "40 bytes that are none: Expected `object`, got `int` - at `$.rules[0].info`"),
        (b'{"rules_version":1,"classes":[{"name":"\xff"}]}', "44 bytes that are none: 'utf-8' codec can't decode byte 0xff"),
        (b'{"rules_version":1,"x":' + b"[" * 100_000, "100,023 bytes that are none: maximum recursion depth"),
        (b'{"rules_version":1' + b"0" * 5_000 + b"}", "5,019 bytes that are none: "),
        (b'{"rules_version":1,"rules":[{"info":{"kind":"\\u001b' + b"z" * 5_000 + b'"}}]}', "Invalid enum value '"),
    ],
)
def test_what_is_no_content_is_refused_with_its_number(content: bytes, found: str) -> None:
    """By an error of ours, on one short line, whoever wrote the content."""
    with pytest.raises(RevisionError) as refused:
        read_revision(7, content)

    assert str(refused.value).startswith("revision 7: expected a revision's content, found ")
    assert found in str(refused.value)
    assert len(str(refused.value)) < 300
    assert known_revision(7, content) is None


def test_what_only_a_newer_spikebridge_reads_is_not_passed_over() -> None:
    """That one stops the stage: every instance would read it once it is upgraded."""
    clock = FakeClock()
    log = MemoryLog(clock)
    log.publish(rule_set_content(rules(5)))
    newer = log.publish(NEWER)
    assert ReadableRevisions(log).newest() == newer
    with pytest.raises(SchemaError, match="revision 2 needs version 99 of the rules"):
        known_revision(newer, NEWER)


def test_the_last_good_revision_stays_and_that_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Over a spool: a marker that names the other is ignored and counted, a restart included, and the next good one comes."""
    clock, metrics = FakeClock(), Metrics()
    with Spool(tmp_path, clock=clock) as spool:
        refusals = Refusals(metrics)

        def opened() -> SpikesStage:
            known = ReadyRevisions(ReadableRevisions(spool, refusals))
            stage = SpikesStage(Identity("default", spool.id, 0), spool, spool, known, Quiet(), clock)
            stage.open()
            return stage

        def drained(stage: SpikesStage) -> SpikesStage:
            for _ in range(5):
                clock.advance(SECOND)
                stage.step()
            return stage

        spool.publish(rule_set_content(rules(5)))
        stage = opened()
        bad = spool.publish(BAD)
        spool.append([SPIKE, encode_tick(clock(), bad), SPIKE])
        drained(stage)
        assert (stage.revision.number, stage.counters["markers_ignored"]) == (1, 1)
        assert spool.alert_bounds()[1] == 1
        again = opened()
        spool.append([SPIKE])
        assert drained(again).revision.number == 1
        found = "found 40 bytes that are none: Expected `object`, got `int` - at `$.rules[0].info`"
        assert caplog.messages == [f"revision 2: expected a revision's content, {found}{STAYS}"]
        assert metrics.value(RELOADS_REFUSED) == 1

        better = spool.publish(rule_set_content(rules(6)))
        assert drained(again).revision.number == better
        assert [spool.before(number) for number in (3, 2, 1)] == [2, 1, None]


@pytest.mark.parametrize("number", [2, 1 << 63, (1 << 64) - 1])
def test_a_marker_may_name_any_number(tmp_path: Path, number: int) -> None:
    """One that no log holds, or can hold, is ignored."""
    clock = FakeClock()
    with Spool(tmp_path, clock=clock) as spool:
        spool.publish(rule_set_content(rules(5)))
        stage = SpikesStage(Identity("default", spool.id, 0), spool, spool, spool, Quiet(), clock)
        stage.open()
        spool.append([encode_tick(clock(), number), SPIKE])
        assert stage.step() == 2
        assert (stage.revision.number, stage.counters["markers_ignored"]) == (1, 1)


@pytest.mark.parametrize("switches", ["marker", "commit"])
def test_every_owner_on_kafka_does_the_same(switches: Switches, caplog: pytest.LogCaptureFixture) -> None:
    """At the start, at a reload and at a takeover; also where the pair is committed, and no marker."""
    plant, metrics = Plant(), Metrics()
    refusals = Refusals(metrics)

    def owner() -> Owner:
        known = ReadableRevisions(plant.revisions(), refusals)
        return Owner(plant, switches=switches, revisions=known if switches == "marker" else RevisionsWithoutAbsence(known, HERE))

    (first,) = plant.publish(rules(5))
    bad = plant.revisions().publish(BAD)
    one = owner().open()
    plant.append(SPIKE, encode_tick(plant.clock(), bad), SPIKE)
    one.drain()
    one.leave()
    two = owner().open().drain()
    plant.append(SPIKE)
    two.drain()
    assert (one.stage.revision.number, two.stage.revision.number) == (first, first)
    assert one.stage.counters["markers_ignored"] == 1
    assert len(plant.entries()) == 3
    assert len([line for line in caplog.messages if line.endswith(STAYS)]) == 1
    assert metrics.value(RELOADS_REFUSED) == 1

    (better,) = plant.publish(rules(6))
    plant.sleep(1)
    assert two.drain().stage.revision.number == better
    markers = [marker_of(record.value) for record in plant.kafka.partition(SPIKES).records]
    assert markers.count(bad) == 1, "but for ours nobody has said it"


@pytest.mark.parametrize("piece", [None, b"damaged"])
def test_a_revision_that_is_not_whole_stops_nobody(piece: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    """Neither an owner at work nor the next one, also where a marker names it; the last good one stays, and that is said once."""
    plant, metrics = Plant(), Metrics()
    refusals = Refusals(metrics)
    (first,) = plant.publish(rules(5))
    one = Owner(plant, revisions=ReadableRevisions(plant.revisions(), refusals)).open()
    if piece is not None:
        plant.kafka.append(REVISIONS, [piece], key=b"piece:ab:0")
    plant.kafka.append(REVISIONS, [b'{"digest":"ab","pieces":1}'], key=b"revision:1")
    bad = plant.kafka.partition(REVISIONS).end - 1
    plant.append(SPIKE, encode_tick(plant.clock(), bad), SPIKE)
    one.drain()
    one.leave()
    two = Owner(plant, revisions=ReadableRevisions(plant.revisions(), refusals)).open()
    plant.append(SPIKE)
    two.drain()
    assert (one.stage.revision.number, two.stage.revision.number) == (first, first)
    assert one.stage.counters["markers_ignored"] == 1
    assert len(plant.entries()) == 3
    why = "is damaged: its digest differs" if piece else "are missing"
    assert [line for line in caplog.messages if line.endswith(STAYS) and why in line] == caplog.messages
    assert metrics.value(RELOADS_REFUSED) == 1

    (better,) = plant.publish(rules(6))
    plant.sleep(1)
    assert two.drain().stage.revision.number == better


def test_a_revision_that_can_not_be_read_now_is_waited_for() -> None:
    """A broker that is away says nothing about what it holds."""
    plant = Plant()
    known = ReadableRevisions(plant.revisions())
    (first,) = plant.publish(rules(5))
    plant.kafka.away = True
    with pytest.raises(LogUnavailable, match="nobody answers"):
        known.newest()
    plant.kafka.away = False
    assert known.newest() == first


def test_an_owner_without_a_good_revision_waits_for_one() -> None:
    """As it does where none was published."""
    plant = Plant()
    plant.revisions().publish(BAD)
    owner = Owner(plant, revisions=ReadableRevisions(plant.revisions()))
    with pytest.raises(LogMissing, match="no revision was ever published that can be in force here"):
        owner.open()
    assert not ReadableRevisions(plant.revisions()).known()

    (good,) = plant.publish(rules(5))
    plant.sleep(1)
    assert owner.open().stage.revision.number == good
    assert ReadableRevisions(plant.revisions()).known()


def test_models_are_compared_with_those_of_the_last_good_revision() -> None:
    """Content that is none forgets no version: an older model doesn't come back behind it."""
    log = MemoryLog(FakeClock())
    model = small("cam", ("cam",), version=3)
    log.publish(rule_set_content(with_models(rules(5), model)))
    log.publish(BAD)
    assert models_in_force(log) == [model]
