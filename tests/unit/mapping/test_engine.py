"""What the engine counts and refuses beside alerts."""

from __future__ import annotations

import msgspec
import pytest
from tests.reference.simulation import START_NS, absence, rule

from spikebridge.alerts import DeviceInfo
from spikebridge.canonical import sha256
from spikebridge.limits import SECOND
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.evidence import CARRIED, Identity
from spikebridge.mapping.rules import Device, Revision, Rule, RuleSet, rule_set_content
from spikebridge.spikes.batch import ROLE_INPUT
from spikebridge.spikes.frame import Head, encode_events, encode_tick
from spikebridge.spikes.record import Record


def engine(*rules: Rule, live: bool = True) -> Engine:
    """Make an engine with two devices in its inventory, under these rules or one: neuron 5 fires once."""
    devices = [Device(info=DeviceInfo(id=name, known=True)) for name in ("cam-1", "cam-2")]
    rule_set = RuleSet(rules=[*(rules or [rule("single", (5, 5))])], devices=devices)
    revision = Revision(number=1, digest=sha256(rule_set_content(rule_set)), rule_set=rule_set)
    return Engine(Identity("default", "log", 0, live), revision, lambda _: None, lambda _: [])


def records(*values: bytes, every_ns: int = SECOND) -> list[Record]:
    """Append values one after the other."""
    return [Record(offset, START_NS + offset * every_ns, value) for offset, value in enumerate(values)]


def frame(role: int = 1, seq: int = 1, neuron: int = 5) -> bytes:
    """Make a frame of one spike."""
    return encode_events(Head(device="cam-1", start_ns=START_NS, role=role, boot=7, seq=seq), [neuron], [0])


def test_raw_sensor_spikes_are_counted_and_raise_nothing() -> None:
    """No detector reads frames of role input here: that is said, not passed over."""
    made = engine()

    assert made.take(records(frame(ROLE_INPUT), frame(ROLE_INPUT), frame(ROLE_INPUT, 2))).alerts == []
    assert made.counters["undetected"] == 2
    assert made.counters["duplicates"] == 1


def test_a_gap_of_a_live_log_is_raised_and_one_of_a_recording_is_not() -> None:
    """An outage of ours is an alert of its own; the past of others is not our outage."""
    spoken = records(frame(seq=1, neuron=9), frame(seq=2, neuron=9), every_ns=200 * SECOND)

    assert [raised.alert.rule.id for raised in engine().take(spoken).alerts] == ["log_gap"]
    assert engine(live=False).take(spoken).alerts == []


@pytest.mark.parametrize(
    ("live", "before", "after"),
    [(True, ["cam-1", "cam-2"], ["cam-1", "guest"]), (False, [], ["cam-1", "guest"])],
    ids=["live", "recording"],
)
def test_a_recording_tells_the_silence_only_of_what_is_in_it(*, live: bool, before: list[str], after: list[str]) -> None:
    """Who recorded one device says nothing of the rest of the inventory; one that falls silent within the recording is told."""
    made = engine(absence("silent", 60), live=live)

    def silent(second: int, *devices: str) -> list[str]:
        said = [{"device_id": device} for device in devices]
        taken = made.take([Record(second, START_NS + second * SECOND, msgspec.json.encode(said))])
        return [raised.alert.device.id for raised in taken.alerts]

    assert silent(0, "other") == []
    assert silent(50, "other") == []
    assert silent(70, "cam-1", "guest", "other") == before
    assert silent(120, "other") == []
    assert silent(140, "other") == after
    assert silent(190, "other") == []
    assert silent(210, "cam-1", "other") == []
    assert silent(250, "other") == []
    assert silent(270, "other") == ["cam-1"]


def test_a_marker_that_names_an_unknown_revision_is_ignored_and_counted() -> None:
    """Whoever writes a tick can't take the rules out of force."""
    made = engine()

    assert len(made.take(records(encode_tick(START_NS, 9), encode_tick(START_NS, 1), frame())).alerts) == 1
    assert made.counters["markers_ignored"] == 2
    assert made.revision.number == 1


def test_what_is_no_spikes_is_told_with_its_place() -> None:
    """A bad record is refused with offset, part and bytes; its neighbours count."""
    taken = engine().take(records(b"rubbish", frame(), b'[{"device_id": "cam-1", "neuron_id": -1}, {"device_id": "x"}]'))

    assert [(dead.offset, dead.part) for dead in taken.dead] == [(0, 0), (2, 0)]
    assert taken.dead[0].raw == b"rubbish"
    assert "neuron_id" in taken.dead[1].reason
    assert len(taken.alerts) == 1


def test_an_array_of_many_devices_carries_its_bytes_only_so_often() -> None:
    """One record that alerts on every device in it must not be stored once for each; digests name it for all."""
    value = msgspec.json.encode([{"device_id": f"guest-{number}", "neuron_id": 5} for number in range(100)])
    raised = engine().take(records(value)).alerts

    assert [bool(one.evidence[0]) for one in raised] == [True] * CARRIED + [False] * (100 - CARRIED)
    assert [one.alert.evidence.partial for one in raised] == [False] * CARRIED + [True] * (100 - CARRIED)
    assert len({one.alert.evidence.records[0].sha256 for one in raised}) == 1


@pytest.mark.parametrize(
    ("spikes", "source"),
    [
        (encode_events(Head(device="cam-1", start_ns=START_NS), [5], [0]), "device"),
        (encode_events(Head(device="cam-1", start_ns=START_NS + 3_600 * SECOND), [5], [0]), "log"),
        (b'{"device_id": "cam-1", "neuron_id": 5, "time": %d}' % START_NS, "device"),
        (b'{"device_id": "cam-1", "neuron_id": 5}', "log"),
        (b'[{"device_id": "cam-1", "neuron_id": 6, "time": %d}, {"device_id": "cam-1", "neuron_id": 5}]' % START_NS, "log"),
    ],
    ids=["its own", "moved", "JSON with a time", "JSON without", "one of several without"],
)
@pytest.mark.parametrize("live", [True, False])
def test_a_time_is_the_log_s_only_where_the_device_gave_none_or_its_frame_was_moved(
    spikes: bytes, source: str, *, live: bool
) -> None:
    """One that is the append time by itself, as in every recording, is the device's own."""
    (raised,) = engine(live=live).take(records(spikes)).alerts

    assert raised.alert.time_ns == raised.alert.append_ns
    assert raised.alert.time_source == source
