"""Mappings against what a log really holds: neurons that fire and mean nothing, rules that never speak. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge.canonical import sha256
from spikebridge.mapping.compile import compile_revision
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.rules import Revision, rule_set_content
from spikebridge.spikes.batch import ROLE_OUTPUT, SUMMARY
from spikebridge.spikes.decode import Decoder
from spikebridge.spikes.names import Devices, Layers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from spikebridge.mapping.rules import RuleSet
    from spikebridge.spikes.batch import Batch
    from spikebridge.spikes.record import Record


class Unmapped(NamedTuple):
    """A neuron that fired and that no rule listens to; `neuron` None is the summary of the layer."""

    layer: str
    neuron: int | None
    spikes: int


class Survey(NamedTuple):
    """What a log says about mappings; `silent` are rules without an alert, `alerts` the number of alerts by rule."""

    records: int
    unmapped: list[Unmapped]
    silent: list[str]
    alerts: dict[str, int]


def survey(rule_set: RuleSet, runs: Iterable[Sequence[Record]]) -> Survey:
    """Look at the records of a log, run by run. A row's `devices` are not asked here, only their classes."""
    revision = Revision(number=1, digest=sha256(rule_set_content(rule_set)), rule_set=rule_set)
    seen: dict[int, Record] = {}
    engine = Engine(
        Identity("check", "check", 0), revision, lambda _: None, lambda offsets: [seen[at] for at in offsets if at in seen]
    )
    listening = Listening(revision)
    alerts: Counter[str] = Counter()
    unmapped: Counter[tuple[str, int]] = Counter()
    records = 0
    for run in runs:
        records += len(run)
        seen = {record.offset: record for record in run}
        alerts.update(raised.alert.rule.id for raised in engine.take(run).alerts)
        unmapped.update(listening.misses(run))
    ranked = sorted(unmapped.items(), key=lambda item: (-item[1], item[0]))
    found = [Unmapped(layer, None if neuron == SUMMARY else neuron, spikes) for (layer, neuron), spikes in ranked]
    silent = [rule.info.id for rule in rule_set.rules if rule.info.id not in alerts]
    return Survey(records, found, silent, dict(sorted(alerts.items())))


class Listening:
    """Which neurons some rule listens to, by class and layer."""

    def __init__(self, revision: Revision) -> None:
        """Listen as this revision does."""
        self._layers = Layers()
        self._compiled = compile_revision(revision, self._layers)
        self._frame_ns = revision.rule_set.limits.frame_ns

    def misses(self, run: Sequence[Record]) -> Counter[tuple[str, int]]:
        """Count spikes by layer, as the device's class reads it, and neuron, where no rule listens."""
        devices = Devices()
        batch = Decoder(devices, self._layers, self._frame_ns).decode(run)
        frames = np.flatnonzero((batch.role == ROLE_OUTPUT) & (batch.device >= 0))
        classes = [self._compiled.describe(devices.id(index)).device_class for index in range(len(devices))]
        found: Counter[tuple[str, int]] = Counter()
        for name in sorted(set(classes)):
            of_class = np.array([one == name for one in classes], np.bool_)
            mine = frames[of_class[batch.device[frames]]]
            for code in np.unique(batch.layer[mine]).tolist():
                reading = self._compiled.reading(name)
                layer = reading.name(code, self._layers)
                neurons = self._missed(batch, mine[batch.layer[mine] == code], reading.number)
                for neuron, spikes in zip(*np.unique(neurons, return_counts=True), strict=True):
                    found[layer, int(neuron)] += int(spikes)
        return found

    def _missed(self, batch: Batch, frames: NDArray[np.intp], device_class: int) -> NDArray[np.uint32]:
        """Return the neurons of frames of one class and layer that no rule listens to, one a spike."""
        layer = batch.layer[frames[:1]]
        [at] = self._compiled.tables_of(np.array([device_class], np.int32), layer).tolist()
        table = self._compiled.tables[at]
        neurons = batch.rows.neurons(frames)
        summaries = neurons == SUMMARY
        mapped = np.where(summaries, table.summaries != 0, table.sets(neurons) != 0)
        missed: NDArray[np.uint32] = neurons[~mapped]
        return missed
