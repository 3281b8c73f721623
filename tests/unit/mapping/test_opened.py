"""Records are opened once for all alerts that rest on them."""

from __future__ import annotations

import msgspec
from tests.reference.simulation import START_NS, rule

from spikebridge.canonical import sha256
from spikebridge.mapping.engine import alerts_of
from spikebridge.mapping.opened import OPEN_BYTES, OpenRecords
from spikebridge.mapping.replay import replay
from spikebridge.mapping.rules import Revision, RuleSet, rule_set_content
from spikebridge.spikes.record import Record


def array(devices: int) -> bytes:
    """Write one spike of neuron 5 for each of so many devices."""
    return msgspec.json.encode([{"device_id": f"d{number}", "neuron_id": 5} for number in range(devices)])


def test_a_record_is_read_once_while_it_is_open() -> None:
    """Its parts and its digest are those of the record, by device, each with its place."""
    held = OpenRecords(1)
    record = Record(7, START_NS, array(3))
    opened = held.open(record)

    assert held.open(record) is opened
    assert held.held(7, START_NS) is opened
    assert held.held(7, START_NS + 1) is None
    assert opened.parts is opened.parts
    assert {device: [at for at, _ in parts] for device, parts in opened.parts.items()} == {"d0": [0], "d1": [1], "d2": [2]}
    assert opened.digest == sha256(record.value)


def test_what_was_not_used_for_longest_is_closed_first() -> None:
    """Memory ends at a number of bytes, whatever alerts ask for; a larger record is open alone."""
    held = OpenRecords(1)
    half = b"x" * (OPEN_BYTES // 2)
    for offset in (1, 2):
        held.open(Record(offset, 0, half))
    held.held(1, 0)
    held.open(Record(3, 0, b"x"))
    assert [offset for offset in (1, 2, 3) if held.held(offset, 0)] == [1, 3]

    held.open(Record(4, 0, half * 3))
    assert [offset for offset in (1, 3, 4) if held.held(offset, 0)] == [4]


def test_a_record_that_raises_thousands_of_alerts_takes_no_longer_than_as_many_records() -> None:
    """Each of 3,000 devices of one array has its alert with its own evidence (this took two minutes when each opened the array)."""
    rule_set = RuleSet(rules=[rule("single", (5, 5))])
    raised = alerts_of(rule_set, [Record(0, START_NS, array(3_000))]).alerts

    assert sorted(one.alert.device.id for one in raised) == sorted(f"d{number}" for number in range(3_000))
    revision = Revision(number=1, digest=sha256(rule_set_content(rule_set)), rule_set=rule_set)
    assert {replay(one.alert, one.evidence, revision).verdict for one in raised[:3]} == {"partial"}
