"""Captures as `spikebridge evaluate` reads them, of generated traffic."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
from tests.unit.detectors.traffic import poller

from spikebridge_detectors.capture.columns import Transport
from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.evaluate.inject import KINDS, inject

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge_detectors.capture.columns import Packets

HEADER = "t,device,dir,peer,proto,sport,dport,len,flags,label\n"


def write_captures(folder: Path) -> Path:
    """Write days of one device without attacks, and both composites with a scan on day 5."""
    packets, start_ns = poller(hours=126, every=300), 5 * DAY_NS + 7200 * SECOND_NS
    attacked = inject(packets, "scan", start_ns, np.random.default_rng(1))
    assert attacked is not None
    (folder / "net").mkdir(parents=True)
    (folder / "composite").mkdir()
    (folder / "net" / "benign_week_meter.csv.gz").write_bytes(_table(packets))
    start = start_ns / SECOND_NS
    truth = f"device,attack,start,end,packets,scored\nmeter,slow_scan_30s,{start},{start + KINDS['scan']},120,True\n"
    for name in ("iot_week", "iot_week_hard"):
        (folder / "composite" / f"{name}.csv.gz").write_bytes(_table(attacked))
        (folder / "composite" / f"{name}_truth.csv").write_text(truth)
    return folder


def _table(packets: Packets) -> bytes:
    rows = (
        f"{time / SECOND_NS:.6f},meter,{'o' if out else 'i'},{peer},{Transport(kind).name.lower()},{source},{target},{length},{flags:x},\n"
        for time, _, out, peer, kind, source, target, length, flags in zip(*packets, strict=True)
    )
    return gzip.compress((HEADER + "".join(rows)).encode())
