"""Generated load: rules and frames of a stated shape, the same for every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikebridge.alerts import RuleInfo
from spikebridge.canonical import sha256
from spikebridge.limits import SECOND, Limits
from spikebridge.mapping.rules import Cell, Revision, Rule, RuleSet, rule_set_content
from spikebridge.spikes.frame import Head, encode_events
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

START_NS = 1_700_000_000 * SECOND
MAPPED = 1_000
"""Neurons from here on are mapped."""


def revision(rules: int, count: int, *, within_ns: int = SECOND) -> Revision:
    """Make `rules` counting rules, each over its own neuron from `MAPPED` on."""
    made = [
        Rule(
            info=RuleInfo(
                id=f"rule-{at:02d}",
                kind="event_count",
                threat=f"Threat_{at}",
                severity="High",
                digest=f"{at:064d}",
                count=count,
                within_ns=within_ns,
                suppress_ns=60 * SECOND,
            ),
            cells=[Cell(first=MAPPED + at, last=MAPPED + at)],
        )
        for at in range(rules)
    ]
    rule_set = RuleSet(limits=Limits(max_unknown_devices=1 << 30), rules=made)
    return Revision(number=1, digest=sha256(rule_set_content(rule_set)), rule_set=rule_set)


def frames(devices: Sequence[int], *, per_frame: int, mapped: float, rules: int, spread_ns: int, seed: int = 1) -> list[bytes]:
    """Make one frame for each device: `per_frame` spikes over `spread_ns`, a share of them on mapped neurons."""
    luck = np.random.default_rng(seed)
    step_ns = max(1, spread_ns // 1_000)
    made = []
    for device in devices:
        neurons = luck.integers(0, MAPPED, per_frame)
        hits = luck.random(per_frame) < mapped
        neurons[hits] = MAPPED + luck.integers(0, rules, int(hits.sum()))
        steps = np.sort(luck.integers(0, spread_ns // step_ns, per_frame))
        head = Head(device=f"device-{device:07d}", start_ns=START_NS, step_ns=step_ns)
        made.append(encode_events(head, neurons, steps))
    return made


def records(values: Sequence[bytes], *, first: int = 0, append_ns: int = START_NS + SECOND) -> list[Record]:
    """Append values at one time."""
    return [Record(offset, append_ns, value) for offset, value in enumerate(values, first)]
