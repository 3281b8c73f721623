"""Limits come with the revision: a new one's hold from its marker on, whoever was there before it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tests.reference.simulation import START_NS, rule

from spikebridge.alerts import alert_entry
from spikebridge.canonical import sha256
from spikebridge.errors import LogMissing
from spikebridge.limits import MINUTE, SECOND, Limits
from spikebridge.mapping.admission import Crowd
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.rules import Revision, RuleSet, rule_set_content
from spikebridge.spikes.frame import encode_tick
from spikebridge.spikes.record import Record

IDENTITY = Identity("default", "limits", 0)


def revision(number: int, limits: Limits) -> Revision:
    """Make a revision with a rule of two spikes within 17 min."""
    rule_set = RuleSet(limits=limits, rules=[rule("pair", (5, 5), count=2, within=17 * 60)])
    return Revision(number=number, digest=sha256(rule_set_content(rule_set)), rule_set=rule_set)


def spike(offset: int, after_ns: int, boot: int = 0) -> Record:
    """Make a spike of neuron 5, without a time of its own."""
    event = {"device_id": "cam", "neuron_id": 5, "boot": boot, "seq": 1}
    return Record(offset, START_NS + after_ns, msgspec.json.encode(event))


def engine(revisions: dict[int, Revision], number: int, records: list[Record]) -> Engine:
    """Make an engine with a revision in force."""
    return Engine(IDENTITY, revisions[number], revisions.get, lambda offsets: [records[at] for at in offsets])


def test_fewer_unknown_devices_than_were_let_in_already_lets_in_no_more() -> None:
    """A lower limit in the middle of a minute refuses new devices; those that were let in stay."""
    crowd = Crowd(Limits(max_unknown_devices=4))
    known = np.zeros(4, np.bool_)
    crowd.admit(0, np.array([0, 1, 2, 2], np.int32), known)
    crowd.limits = Limits(max_unknown_devices=1)

    assert crowd.admit(0, np.array([3, 4, 5, 1], np.int32), known).tolist() == [False, False, False, True]


def test_a_longer_look_back_keeps_evidence_for_longer() -> None:
    """An owner from before the marker finds the same evidence as one that begins at it."""
    revisions = {1: revision(1, Limits(look_back_ns=2 * MINUTE)), 2: revision(2, Limits())}
    records = [Record(0, START_NS, encode_tick(START_NS, 2)), spike(1, SECOND)]
    records += [Record(at, START_NS + at * MINUTE, encode_tick(START_NS)) for at in range(2, 17)]
    records += [spike(17, 16 * MINUTE + SECOND)]

    found = []
    for number in (1, 2):
        owner = engine(revisions, number, records)
        raised = [one for record in records for one in owner.take([record]).alerts]
        found.append([alert_entry(one.alert, one.evidence) for one in raised])
    assert found[0] == found[1]
    assert [entry.source[1] for entry in found[0]] == [17]


def test_duplicates_and_long_frames_are_judged_by_the_limits_in_force() -> None:
    """The late limit and the longest frame change at the marker."""
    short, long = Limits(late_ns=SECOND, frame_ns=SECOND), Limits()
    revisions = {1: revision(1, short), 2: revision(2, long)}
    wide = [{"device_id": "cam", "neuron_id": 5, "time": START_NS + at * SECOND} for at in (0, 3)]
    records = [
        spike(0, 0, boot=7),
        Record(1, START_NS, encode_tick(START_NS, 2)),
        spike(2, 10 * SECOND, boot=7),
        Record(3, START_NS + 11 * SECOND, msgspec.json.encode(wide)),
    ]
    owner = engine(revisions, 1, records)
    taken = owner.take(records)

    assert owner.counters["duplicates"] == 1
    assert taken.dead == []


def test_a_replay_without_the_revision_that_was_in_force_is_refused() -> None:
    """Rebuilding the state under another one would be silent and wrong."""
    owner = engine({1: revision(1, Limits())}, 1, [])

    with pytest.raises(LogMissing, match="revision 2 was in force from record 1 on"):
        owner.replay([spike(0, 0), spike(1, SECOND)], [(0, 1), (1, 2)])
