"""An alarm again, from its evidence alone (and the model that it names): by the quick forms or the rules, and by the neurons on every engine that is installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from spikebridge_detectors.capture.kinds import ROW, from_rows
from spikebridge_detectors.repeat import Ran, repeated
from spikebridge_detectors.rules.again import found as of_rules
from spikebridge_detectors.sense.outputs import NEURONS
from spikebridge_detectors.timing.again import first_layer, second_layer
from spikebridge_detectors.timing.evidence import unpack
from spikebridge_detectors.timing.trace import traced
from spikebridge_detectors.windows.again import parts
from spikebridge_detectors.windows.evidence import model_of, seen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.evidence import Evidence, Said
    from spikebridge_detectors.timing.trace import Trace
    from spikebridge_detectors.windows.evidence import Seen


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the evidence gave: the alarms in it, what of the one recorded is different, and what each engine made of the neurons; of `count` packets or samples."""

    alarms: Sequence[Alarm]
    differences: Sequence[str]
    engines: Sequence[Ran]
    count: int
    of: Literal["packet", "sample"]

    @property
    def verdict(self) -> str:
        """Return `same`, or `differs` if anything does; what didn't run says nothing."""
        return "differs" if self.differences or any(one.verdict == "differs" for one in self.engines) else "same"


def trace_of(evidence: Evidence) -> Trace:
    """Return what happens in a network of timing from the state of the evidence on."""
    learned, start = unpack(evidence.state)
    return traced(learned, start, from_rows(evidence.input, start.device), evidence.said.until_ns)


def replayed(evidence: Evidence, folder: Path, *, lava: bool = True) -> Replayed:
    """Run the evidence of one alarm; a model that it names ships, or lies in the folder."""
    if evidence.said.detector == "rules":
        return _ruled(evidence)
    if evidence.said.detector != "timing":
        return _window(evidence, seen(evidence, model_of(evidence.said, folder)), lava=lava)
    trace = trace_of(evidence)
    layers = [first_layer(trace), *second_layer(trace)]
    found = repeated(layers, lava=lava)
    if len(layers) == 1:
        found = [
            Ran(one.engine, missing="more seconds than a day and a half, or one that went on after it was over") for one in found
        ]
    return Replayed(trace.alarms, _differences(evidence.said, trace.alarms), found, len(trace.packets.time_ns), "packet")


def _ruled(evidence: Evidence) -> Replayed:
    """Run the rules, which have no neurons."""
    said, alarms = evidence.said, of_rules(evidence)
    differences = _differences(said, alarms)
    number = NEURONS.get(("rules", said.kind))
    if number != said.neuron:
        differences.append(f"neuron: recorded {said.neuron}, {said.kind} of the rules is {number or 'none'}")
    return Replayed(alarms, differences, (), len(evidence.input) // ROW.itemsize, "packet")


def _window(evidence: Evidence, found: Seen, *, lava: bool) -> Replayed:
    """Run one window of power, vibration or rf."""
    differences = _differences(evidence.said, found.alarms)
    number = {output.name: output.neuron for output in found.model.header.outputs}.get(evidence.said.kind)
    if number != evidence.said.neuron:
        differences.append(f"neuron: recorded {evidence.said.neuron}, {evidence.said.kind} of the model is {number or 'none'}")
    return Replayed(found.alarms, differences, repeated(parts(found), lava=lava), len(found.samples.time_ns), "sample")


def _differences(said: Said, alarms: Sequence[Alarm]) -> list[str]:
    alike = [alarm for alarm in alarms if alarm.kind == said.kind]
    then = [alarm for alarm in alike if alarm.time_ns == said.time_ns]
    if then and any(alarm.score == said.score for alarm in then):
        return []
    if then:
        return [f"score: recorded {said.score!r}, replayed {then[0].score!r}"]
    times = ", ".join(str(alarm.time_ns) for alarm in alike[:3]) or "none"
    return [f"time_ns: recorded {said.time_ns} for {said.kind}, replayed {times}"]
