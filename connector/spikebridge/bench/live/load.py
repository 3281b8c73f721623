"""Generated load: rules as an analyst would write them, JSON events and frames of a stated shape, the same for every run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge.limits import SECOND
from spikebridge.spikes.frame import Head, encode_events
from spikebridge.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

MAPPED = 1_000
"""Neurons from here on are mapped."""

DEVICES = 10_000
_MOST_FRAMES = 10
"""Of one device: its hits must stay below what crosses the rule."""

BURST_SPIKES = 25
BURST_EVERY = 500
_PATTERNS = 400
_STEP_NS = SECOND // 1_000


class Row(NamedTuple):
    """One row of the mapping file that every contestant carries out."""

    neuron: int
    threat: str
    severity: str
    number: int
    category: str
    action: str


class Load(NamedTuple):
    """One record: the device that it belongs to, its partition, its bytes."""

    device: str
    partition: int
    value: bytes


_THREATS = (
    ("DDoS_Burst", "High", 73, "Network Anomaly", "Block_IP"),
    ("Port_Scan", "Medium", 47, "Reconnaissance", "Watch"),
    ("Beacon", "Critical", 99, "Command and Control", "Isolate_Device"),
    ("Replay", "Low", 21, "Integrity", "Notify"),
    ("Brute_Force", "High", 73, "Credential Access", "Block_IP"),
    ("Exfiltration", "Critical", 99, "Exfiltration", "Isolate_Device"),
    ("Firmware_Change", "Medium", 47, "Persistence", "Notify"),
    ("Jamming", "High", 73, "Availability", "Notify"),
)


def rows(count: int = 64) -> list[Row]:
    """Return so many rows of one neuron each, over eight threats."""
    return [Row(MAPPED + at, *_THREATS[at % len(_THREATS)]) for at in range(count)]


def mapping(some: list[Row]) -> str:
    """Write our mapping file: one spike is enough, and an interval is as short as it may be."""
    return json.dumps(
        {
            "mappings": [
                {
                    "id": f"row-{row.neuron}",
                    "neuron_id": row.neuron,
                    "threat_type": row.threat,
                    "severity": row.severity,
                    "siem_category": row.category,
                    "action": row.action,
                    "suppress": "1s",
                }
                for row in some
            ]
        }
    )


def burst_mapping() -> str:
    """Write the mapping of the frames: 20 spikes within 1 s."""
    row = rows(1)[0]
    entry = {"neuron_id": row.neuron, "threat_type": row.threat, "severity": row.severity, "when": {"count": 20, "within": "1s"}}
    return json.dumps({"mappings": [entry]})


def events(count: int, *, mapped_every: int, partitions: int, start_ns: int, first: int = 0) -> Iterator[Load]:
    """
    Make JSON events of about 190 bytes, of which one in `mapped_every` hits a row.

    Every event that hits has a device and a row that no other has together, so that each is an alert of its own whatever the interval.
    """
    made, some = first, rows()
    for at in range(first, first + count):
        if at % mapped_every == 0:
            device, neuron = f"sensor-m{made // len(some):06d}", some[made % len(some)].neuron
            made += 1
        else:
            device, neuron = f"sensor-q{at % DEVICES:06d}", at % MAPPED
        yield Load(device, int(device[-6:]) % partitions, event(device, neuron, start_ns + at * 1_000))


def event(device: str, neuron: int, time_ns: int) -> bytes:
    """Write one event as a gateway would, with fields that nobody asks for."""
    return (
        f'{{"device_id":"{device}","neuron_layer":"output_3","neuron_id":{neuron},"time":"{rfc3339(time_ns)}",'
        f'"spike_count":1,"gateway":"plant-4-gw-17","firmware":"sense-2.14.0","rssi":-61,"battery":0.87}}'
    ).encode()


def frames(count: int, *, partitions: int, start_ns: int, per_frame: int = 1_000) -> Iterator[Load]:
    """
    Make frames of which one spike in 1,000 hits the rule; one frame in 500 holds a burst that crosses it, each from a device of its own.

    Nothing else crosses: a device has one hit in each of its frames, and few frames.
    """
    devices = max(DEVICES, count // _MOST_FRAMES)
    luck = np.random.default_rng(1)
    shapes = [_shape(luck, per_frame) for _ in range(_PATTERNS)]
    for at in range(count):
        neurons, steps = shapes[at % _PATTERNS]
        device = f"device-{at % devices:07d}"
        if at % BURST_EVERY == 0:
            device = f"burst-{at // BURST_EVERY:07d}"
            neurons = neurons.copy()
            neurons[:BURST_SPIKES] = MAPPED
        head = Head(device=device, start_ns=start_ns, step_ns=_STEP_NS)
        yield Load(device, at % partitions, encode_events(head, neurons, steps))


def bursts(count: int) -> int:
    """Return how many of so many frames hold a burst."""
    return -(-count // BURST_EVERY)


def _shape(luck: np.random.Generator, per_frame: int) -> tuple[np.ndarray, np.ndarray]:
    neurons = luck.integers(0, MAPPED, per_frame)
    neurons[luck.integers(0, per_frame, max(1, per_frame // 1_000))] = MAPPED
    return neurons, np.sort(luck.integers(0, SECOND // _STEP_NS, per_frame))
