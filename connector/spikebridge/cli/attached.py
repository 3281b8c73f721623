"""Evidence of networks that an alert's frames carry, or that lies where sensing keeps it, held to the frame that it came with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spikebridge.alerts import Alert, EvidenceRecord
    from spikebridge.spikes.frame import Frame
    from spikebridge_detectors.evidence import Evidence, Said

MOST_RUN = {"timing": 4}
"""Of one alert the last so many are run, where they run over time: each may hold days."""

MOST_OTHERS = 32
"""Of others so many."""

WITHOUT_MODEL = ("timing", "rules")
"""Their evidence holds what was learned."""

UNHELD = "the frame that it came with isn't beside the alert, and without it the device alone says that it is this alert's"


class Attached(NamedTuple):
    """
    Evidence of a network, from one record of an alert.

    `differences` say what of it isn't that of the frame, or why it can't be opened; `missing` why it isn't run.
    """

    name: str
    offset: int
    folder: Path
    evidence: Evidence | None = None
    differences: Sequence[str] = ()
    missing: str = ""

    @property
    def runs(self) -> bool:
        """Say whether it can be run."""
        return self.evidence is not None and not self.differences and not self.missing


def attached(alert: Alert, raws: Sequence[bytes], folder: Path | None) -> list[Attached]:
    """
    Open the evidence of the frames whose spikes counted, oldest first.

    `folder` is where sensing keeps what doesn't travel: evidence that is too large for its frame, and models that don't ship.
    """
    if alert.rule.kind != "event_count":
        return []
    found = [one for kept, raw in zip(alert.evidence.records, raws, strict=False) for one in _of(alert, kept, raw, folder)]
    room: dict[str, int] = {}
    for at in reversed(range(len(found))):
        evidence = found[at].evidence
        if evidence is not None:
            detector = evidence.said.detector
            most = MOST_RUN.get(detector, MOST_OTHERS)
            room[detector] = room.get(detector, most) - 1
            if room[detector] < 0:
                found[at] = found[at]._replace(missing=f"of an alert the last {most} of {detector} are run")
    return found


def _of(alert: Alert, kept: EvidenceRecord, raw: bytes, folder: Path | None) -> Iterator[Attached]:
    """Yield the evidence of one record, if there is any."""
    from spikebridge_detectors.errors import ModelError
    from spikebridge_detectors.evidence import SUFFIX, opened, read

    frame = _frame(raw)
    path = folder / f"{kept.sha256[:16]}{SUFFIX}" if folder else None
    name, beside = f"evidence in the record at offset {kept.offset}", folder or Path()
    try:
        if frame and frame.evidence:
            evidence = read(frame.evidence)
        elif path and path.is_file():
            name, evidence = str(path), opened(path)
        elif isinstance(kept.lean, str):
            yield Attached(name, kept.offset, beside, missing="had no room beside the alert; it is in the record of the log")
            return
        else:
            return
    except (ModelError, OSError) as error:
        yield Attached(name, kept.offset, beside, differences=[str(error)])
        return
    differences = list(_differences(evidence.said, alert, frame))
    if frame is None:
        yield Attached(name, kept.offset, beside, None, differences, "" if differences else UNHELD)
        return
    yield Attached(name, kept.offset, beside, evidence, differences, "" if differences else _missing(evidence.said, folder))


def _frame(raw: bytes) -> Frame | None:
    """Return a frame; none if the record is no good one."""
    from spikebridge.errors import FrameError
    from spikebridge.spikes.frame import is_frame, unpack
    from spikebridge.spikes.layout import MAX_TIME_NS

    try:
        return unpack(raw, MAX_TIME_NS) if is_frame(raw) else None
    except FrameError:
        return None


def _differences(said: Said, alert: Alert, frame: Frame | None) -> Iterator[str]:
    """Yield what of the evidence isn't that of its frame."""
    from spikebridge_detectors.sense.outputs import NEURONS, WIRE_LAYERS, within

    if said.device != alert.device.id:
        yield f"device: the frame's {alert.device.id}, of the evidence {said.device}"
    if frame is None:
        return
    digest = int(said.model[:16] or "0", 16)
    if digest != frame.head.digest:
        yield f"model: the frame's {frame.head.digest:016x}, of the evidence {digest:016x}"
    if frame.head.layer != WIRE_LAYERS[said.detector]:
        yield f"layer: the frame's {frame.head.layer}, of {said.detector} {WIRE_LAYERS[said.detector]}"
    named = NEURONS.get((said.detector, said.kind), said.neuron)
    at_ns = within(said.time_ns)
    times = frame.times[frame.neurons == said.neuron]
    if not len(times):
        yield f"neuron: the frame's {', '.join(map(str, sorted(set(frame.neurons.tolist()))[:3]))}, of the evidence {said.neuron}"
    elif not ((times <= at_ns) & (at_ns < times + frame.head.step_ns)).any():
        yield f"time_ns: the frame's {', '.join(map(str, times[:3].tolist()))}, of the evidence {said.time_ns}"
    elif named != said.neuron:
        yield f"neuron: of {said.kind} {named}, of the evidence {said.neuron}"


def _missing(said: Said, folder: Path | None) -> str:
    """Say why the model that evidence needs can't be had."""
    from spikebridge_detectors.errors import ModelError
    from spikebridge_detectors.shipped.pins import PINS
    from spikebridge_detectors.windows.evidence import beside, model_of

    if said.detector in WITHOUT_MODEL:
        return ""
    if said.model not in PINS.values() and not (folder and beside(folder, said.model).is_file()):
        return f"the model {said.model[:16]} isn't here: name the directory in which sensing keeps it with --evidence DIR"
    try:
        model_of(said, folder or Path())
    except (ModelError, OSError) as error:
        return f"the model {said.model[:16]} can't be had: {error}"
    return ""
