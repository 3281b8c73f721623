"""The in-memory cases: from bytes to alert rows, and from alerts to documents."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from spikebridge.bench import load
from spikebridge.bench.detect import detect
from spikebridge.bench.measure import Line, resident_mb, seconds
from spikebridge.bench.rows import RowByRow
from spikebridge.formats.ecs import encode as encode_ecs
from spikebridge.limits import SECOND
from spikebridge.mapping.compile import compile_revision
from spikebridge.mapping.engine import alerts_of
from spikebridge.mapping.match import Matcher
from spikebridge.spikes.decode import Decoder
from spikebridge.spikes.names import Devices, Layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spikebridge.mapping.match import Match
    from spikebridge.mapping.rules import Revision
    from spikebridge.spikes.record import Record

CHUNK_FRAMES = 128
PEER_SHARE = 20
"""The row-by-row peer gets one part in this many of the load."""


class Path:
    """Bytes to alert rows under one revision, batch by batch, as the spikes stage does it."""

    def __init__(self, revision: Revision) -> None:
        """Begin empty."""
        devices, layers = Devices(), Layers()
        compiled = compile_revision(revision, layers)
        limits = revision.rule_set.limits
        self.matcher = Matcher(compiled, devices, limits)
        self._decoder = Decoder(devices, layers, limits.frame_ns)

    def run(self, records: Sequence[Record], chunk: int) -> list[Match]:
        """Decode and match records, `chunk` at a time."""
        found: list[Match] = []
        for low in range(0, len(records), chunk):
            found += self.matcher.feed(self._decoder.decode(records[low : low + chunk]))
        return found


def sparse() -> list[Line]:
    """Frames in memory to alert rows: 1,000 spikes a frame, 1 in 1,000 mapped, 20 spikes in 1 s."""
    return [_frames("frames_sparse", devices=10_000, per_frame=1_000, mapped=0.001, rules=1, must=50e6, aim=100e6, unmapped=0)]


def dense() -> list[Line]:
    """Frames in memory to alert rows: all mapped, 8 rules per device, 1 million open keys."""
    return [_frames("frames_dense", devices=10_000, per_frame=1_000, mapped=1.0, rules=8, must=10e6, aim=20e6, unmapped=125_000)]


def _frames(  # noqa: PLR0913 -- the conditions of a case, all of which are printed
    name: str, *, devices: int, per_frame: int, mapped: float, rules: int, must: float, aim: float, unmapped: int
) -> Line:
    """Measure one shape; `unmapped` devices open a window for each rule beforehand."""
    count = 20
    revision = load.revision(rules, count)
    path = Path(revision)
    if unmapped:
        opening = load.frames(range(unmapped), per_frame=8 * rules, mapped=1.0, rules=rules, spread_ns=SECOND // 2)
        path.run(load.records(opening), 1_000)
    values = load.frames(range(min(devices, 2_000)), per_frame=per_frame, mapped=mapped, rules=rules, spread_ns=SECOND)
    records = load.records(values, first=1 << 20)
    took = seconds(lambda: path.run(records, CHUNK_FRAMES), 5)
    peer = RowByRow({load.MAPPED + at: [rule] for at, rule in enumerate(revision.rule_set.rules)})
    part = values[: len(values) // PEER_SHARE]
    peer_took = seconds(lambda: peer.frames(part, load.START_NS + SECOND), 2)
    rate, peer_rate = len(values) * per_frame / took, len(part) * per_frame / peer_took
    return Line(
        name=name,
        value=rate,
        unit="spikes/s",
        must=must,
        aim=aim,
        peer="row by row",
        ratio=rate / peer_rate,
        conditions={
            "spikes_per_frame": per_frame,
            "share_mapped": mapped,
            "rules_per_device": rules,
            "rule": f"{count} in 1 s",
            "open_keys": max(unmapped, len(values)) * rules,
            "chunk_frames": CHUNK_FRAMES,
            "boot": 0,
            "peer_value": peer_rate,
        },
    )


def json_events() -> list[Line]:
    """JSON in memory to alert rows: records of 1,000 lines, and one event a record; all mapped, 20 in 1 s."""
    events = [
        msgspec.json.encode(
            {"device_id": f"sensor_{at % 5_000:05d}", "neuron_id": load.MAPPED, "time": load.START_NS + at * 10_000}
        )
        for at in range(100_000)
    ]
    lines = [b"\n".join(events[low : low + 1_000]) for low in range(0, len(events), 1_000)]
    revision = load.revision(1, 20)
    measured = []
    peer = RowByRow({load.MAPPED: revision.rule_set.rules})
    peer_took = seconds(lambda: peer.events(events[: len(events) // PEER_SHARE], load.START_NS + SECOND), 2)
    peer_rate = len(events) / PEER_SHARE / peer_took
    for name, values, chunk, aim in (("json_lines", lines, 20, 2e6), ("json_single", events, 20_000, 1.5e6)):
        records = load.records(values)
        took = seconds(_pass(revision, records, chunk), 3)
        rate = len(events) / took
        measured.append(
            Line(
                name=name,
                value=rate,
                unit="events/s",
                must=1e6,
                aim=aim,
                peer="row by row",
                ratio=rate / peer_rate,
                conditions={
                    "event_bytes": len(events[0]),
                    "events_per_record": len(events) // len(values),
                    "share_mapped": 1.0,
                    "rules_per_device": 1,
                    "rule": "20 in 1 s",
                    "peer_value": peer_rate,
                },
            )
        )
    return measured


def _pass(revision: Revision, records: Sequence[Record], chunk: int) -> Callable[[], object]:
    path = Path(revision)
    return lambda: path.run(records, chunk)


def ecs() -> list[Line]:
    """Alerts to ECS bytes: one alert of 20 spikes on each of 2,000 devices."""
    values = load.frames(range(2_000), per_frame=40, mapped=1.0, rules=1, spread_ns=SECOND // 2)
    alerts = [raised.alert for raised in alerts_of(load.revision(1, 20).rule_set, load.records(values)).alerts]
    took = seconds(lambda: [encode_ecs(alert) for alert in alerts], 5)
    plain = seconds(lambda: [msgspec.json.encode(alert) for alert in alerts], 5)
    size = sum(len(encode_ecs(alert)) for alert in alerts) // len(alerts)
    return [
        Line(
            name="alerts_ecs",
            value=len(alerts) / took,
            unit="alerts/s",
            must=40_000,
            aim=60_000,
            peer="the alert's own JSON",
            ratio=plain / took,
            conditions={"document_bytes": size, "alerts": len(alerts)},
        )
    ]


def memory() -> list[Line]:
    """1 million devices with an open window of N = 50: what this process holds, in a process of its own."""
    code = "from spikebridge.bench.cases import memory_here; print(memory_here())"
    held = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603 -- ourselves
    return [
        Line(
            name="memory_devices",
            value=float(held.stdout),
            unit="GB",
            must=1.5,
            aim=1.0,
            conditions={"devices": 1_000_000, "rule": "50 in 1 s", "rules_per_device": 1},
        )
    ]


def memory_here() -> float:
    """Open the windows of a million devices in this process and return the gigabytes resident."""
    path = Path(load.revision(1, 50))
    for low in range(0, 1_000_000, 20_000):
        values = load.frames(range(low, low + 20_000), per_frame=4, mapped=1.0, rules=1, spread_ns=SECOND // 2)
        path.run(load.records(values, first=low), 2_000)
    return round(resident_mb() / 1e3, 3)


def start() -> list[Line]:
    """`spikebridge --help` as a whole process, beside the interpreter that starts and does nothing."""
    took = seconds(lambda: subprocess.run([sys.executable, "-m", "spikebridge", "--help"], check=True, capture_output=True), 7)
    bare = seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True, capture_output=True), 7)
    return [Line(name="help", value=round(took, 3), unit="s", must=0.3, aim=0.15, peer="python -c pass", ratio=took / bare)]


CASES: dict[str, Callable[[], list[Line]]] = {
    "sparse": sparse,
    "dense": dense,
    "json": json_events,
    "ecs": ecs,
    "memory": memory,
    "detect": detect,
    "help": start,
}
