"""Keys that nobody reads are told to who wrote them."""

from __future__ import annotations

import pytest

from spikebridge.spikes.events import Event
from spikebridge.spikes.frame import Head, encode_events
from spikebridge.spikes.unread import KEPT, LONGEST, Unread, UnreadKey


def unread(*values: bytes) -> Unread:
    """Look at records."""
    found = Unread()
    for value in values:
        found.look(value)
    return found


@pytest.mark.parametrize(
    "value",
    [
        b'{"device_id": "cam"}',
        b' [{"device_id": "cam", "neuron_id": 4, "peer": null}, {"device_id": "arm", "spike_count": 2}]',
        b'{"device_id": "cam", "neuron_id": [4, 9], "time": 1790000000}',
        b'{"device_id": "cam", "neuron_id": 4}\n{"device_id": "cam", "neuron_id": 5}',
        b'{"device_id": "cam", "neuron_id": -1}',
        encode_events(Head(device="cam", start_ns=1), [42], [0]),
        b'{"device_id": "cam", "site',
        b"[" * 100_000,
        b"",
        b'["device", 5]',
    ],
    ids=["life", "array", "columns", "lines", "refused", "frame", "cut", "deep", "nothing", "values"],
)
def test_what_has_only_known_keys_or_none_is_silent(value: bytes) -> None:
    """Whatever else is wrong with it is told elsewhere."""
    found = unread(value)

    assert (found.found(), found.spikeless, found.beyond) == ([], 0, 0)


@pytest.mark.parametrize(
    "value",
    [
        b'{"device_id": "cam", "neuron": 42, "count": 25}',
        b'[{"device_id": "cam", "neuron": 42, "count": 25}, {"device_id": "cam", "neuron_id": 42}]',
        b'{"device_id": "cam", "neuron": 42, "count": 25}\n{"device_id": "cam", "neuron_id": 42}',
        b'{"device_id": ["cam", "arm"], "neuron": 42, "count": [25, 2]}',
        b'{"device_id": "cam", "neuron": 42, "count": 25, "neuron_id": null}',
    ],
    ids=["one", "array", "lines", "columns", "null"],
)
def test_each_form_of_events_is_looked_at(value: bytes) -> None:
    """Two keys misspelt, and a spike that was meant and isn't there."""
    found = unread(value)

    assert found.found() == [UnreadKey("count", 1, "spike_count"), UnreadKey("neuron", 1, "neuron_id")]
    assert found.spikeless == 1


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("timestamp", "time"),
        ("neuronId", "neuron_id"),
        ("layer", "neuron_layer"),
        ("spikes_count", "spike_count"),
        ("sequence", "seq"),
        ("peeer", "peer"),
        ("site", ""),
        ("id", ""),
        ("", ""),
    ],
)
def test_the_key_that_may_be_meant_is_named(key: str, meant: str) -> None:
    """One that looks like none is named alone."""
    [told] = unread(f'{{"device_id": "cam", "{key}": 1}}'.encode()).found()

    assert told == UnreadKey(key, 1, meant)


def test_a_key_that_is_there_as_well_is_not_meant() -> None:
    """An event that has its time means something else by a timestamp."""
    with_time = b'{"device_id": "cam", "neuron_id": 1, "time": 1790000000, "timestamp": 5}'
    without = b'{"device_id": "cam", "neuron_id": 1, "timestamp": 5}'

    assert unread(without).found() == [UnreadKey("timestamp", 1, "time")]
    assert unread(with_time, without).found() == [UnreadKey("timestamp", 2, "")]


def test_what_is_kept_is_bounded() -> None:
    """However many keys a sender makes up, and however long."""
    many = b",".join(b'"%s%d": 1' % (b"x" * 1000, number) for number in range(KEPT))
    others = b",".join(b'"k%d": 1' % number for number in range(KEPT + 5))
    found = unread(b'{"device_id": "cam", %s}' % many, b'{"device_id": "cam", %s}' % others)

    assert found.found()[0] == UnreadKey("x" * LONGEST, 1, "")
    assert (len(found.found()), found.beyond) == (KEPT, 6)
    assert found.spikeless == 2


def test_every_key_of_an_event_is_known() -> None:
    """One with all of them is read whole."""
    keys = {"device_id": "cam", "neuron_layer": "a", "time": 1.0, "peer": "b"}
    whole = ", ".join(
        f'"{key}": {f"{chr(34)}{keys[key]}{chr(34)}" if isinstance(keys.get(key), str) else 1}' for key in Event.__struct_fields__
    )

    assert unread(f"{{{whole}}}".encode()).found() == []
