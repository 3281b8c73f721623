"""Evidence is read from the log in few calls, and is what it would be if each record were read alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.reference.simulation import START_NS, rule

from spikebridge.canonical import sha256
from spikebridge.limits import MINUTE, SECOND
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.rules import Revision, RuleSet, rule_set_content
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.mapping.evidence import Raised


class Log:
    """Records by offset, and how many were asked for in each call."""

    def __init__(self, records: Sequence[Record], gone: frozenset[int] = frozenset()) -> None:
        """Hold all that are not gone."""
        self.calls: list[int] = []
        self._held = {record.offset: record for record in records if record.offset not in gone}

    def read(self, offsets: Sequence[int]) -> list[Record]:
        """Return those that are kept."""
        self.calls.append(len(offsets))
        return [self._held[offset] for offset in offsets if offset in self._held]


def spikes(number: int, neurons: Sequence[int] = (5,)) -> list[Record]:
    """Make a record a second of one device, with the neurons in turn."""
    return [
        Record(at, START_NS + at * SECOND, msgspec.json.encode({"device_id": "cam", "neuron_id": neurons[at % len(neurons)]}))
        for at in range(number)
    ]


def raised(rule_set: RuleSet, records: Sequence[Record], log: Log) -> list[Raised]:
    """Match the records, each as a batch of its own: what lies before it is read for the evidence."""
    revision = Revision(number=1, digest=sha256(rule_set_content(rule_set)), rule_set=rule_set)
    engine = Engine(Identity("default", "test", 0), revision, lambda _: None, log.read)
    return [found for record in records for found in engine.take([record]).alerts]


def test_many_small_records_are_read_in_few_calls() -> None:
    """299 that lie before the one that crossed: the first calls ask for few, no call for more than 64."""
    records = spikes(300)
    log = Log(records)
    (found,) = raised(RuleSet(rules=[rule("slow", (5, 5), count=300, within=600)]), records, log)

    assert log.calls == [1, 2, 4, 8, 16, 32, 64, 64, 64, 44]
    assert [one.offset for one in found.alert.evidence.records] == list(range(300))
    assert found.evidence == tuple(record.value for record in records)
    assert (found.alert.count, found.alert.evidence.total, found.alert.evidence.partial) == (300, 300, False)


def test_few_are_read_in_vain() -> None:
    """A rule of two spikes asks for one record."""
    records = spikes(100)
    log = Log(records)
    found = raised(RuleSet(rules=[rule("two", (5, 5), count=2, within=10)]), records, log)

    assert found
    assert set(log.calls) == {1}


def test_records_of_other_rules_in_between_cost_no_call_each() -> None:
    """They are walked over, and are no evidence."""
    records = spikes(400, (5, *[6] * 99))
    log = Log(records)
    rules = RuleSet(rules=[rule("rare", (5, 5), count=4, within=600), rule("other", (6, 6), count=1_000)])
    (found,) = raised(rules, records, log)

    assert [one.offset for one in found.alert.evidence.records] == [0, 100, 200, 300]
    assert len(log.calls) <= 10


@pytest.mark.parametrize("gone", [{299}, {7}, set(range(100, 180))])
def test_what_is_gone_is_left_out(gone: set[int]) -> None:
    """The evidence is all that is still there, and says that it is partial."""
    records = spikes(301)
    log = Log(records, frozenset(gone))
    (found,) = raised(RuleSet(rules=[rule("slow", (5, 5), count=301, within=10 * MINUTE // SECOND)]), records, log)

    assert [one.offset for one in found.alert.evidence.records] == [at for at in range(301) if at not in gone]
    assert found.alert.evidence.partial
    assert found.alert.count == 301 - len(gone)
