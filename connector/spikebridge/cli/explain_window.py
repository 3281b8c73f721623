"""What `explain FILE` says of power, vibration and rf: which columns of a window surprised, and what they usually are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from spikebridge.cli.terminal import counted, print_table, printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge_detectors.evidence import Evidence, Said
    from spikebridge_detectors.rules.told import Told as RuleTold
    from spikebridge_detectors.timing.told import Told as TimingTold
    from spikebridge_detectors.windows.told import Column, Told

SHOWN = 10


class Source(NamedTuple):
    """Where evidence is from, where models lie that don't ship, and the command that replays it."""

    name: str
    folder: Path
    replay: str


class ExplainedWindow:
    """The evidence of one odd window, run through the network once more."""

    def __init__(self, source: Source, evidence: Evidence) -> None:
        """Run it; what is wrong with it is said with its name."""
        from spikebridge_detectors.errors import ModelError
        from spikebridge_detectors.windows.evidence import model_of, seen
        from spikebridge_detectors.windows.told import told

        self.said = evidence.said
        try:
            self._seen = seen(evidence, model_of(self.said, source.folder))
        except (ModelError, OSError) as error:
            raise SpikebridgeError(f"{source.name}: {error}") from error
        alarm = next((one for one in self._seen.alarms if (one.kind, one.time_ns) == (self.said.kind, self.said.time_ns)), None)
        if alarm is None:
            raise SpikebridgeError(f"{source.name}: the alarm doesn't follow from its evidence: see `{source.replay}`")
        self.told: Told = told(self._seen, alarm)

    def sentence(self) -> str:
        """Return it in one sentence."""
        from spikebridge_detectors.windows.told import sentence

        return f"{self.said.kind} (neuron {self.said.neuron}) of {sentence(self.told, self.said.device)}"

    def show(self) -> None:
        """Print the sentence and what filled the neuron, oddest first."""
        from spikebridge_detectors.windows.told import described

        print(printable(self.sentence()))
        surprises = self.told.surprises
        print()
        print_table(("spikes", "what"), [(one.counted, described(one)) for one in surprises[:SHOWN]])
        if len(surprises) > SHOWN:
            print(f"and {counted(len(surprises) - SHOWN, 'surprise')} more: --json has them")

    def document(self) -> dict[str, Any]:
        """Return the same for machines."""
        said = self.told
        return {
            **heading(self.said, self.told, self.sentence()),
            "deviations": round(said.deviations, 2),
            "surprises": [
                {
                    "counted": one.counted,
                    "share": round(one.share, 4),
                    "column": _column(one.column),
                    "given": _column(one.given) if one.given else None,
                }
                for one in said.surprises
            ],
        }

    def plot(self, path: Path) -> None:
        """Write the raster."""
        from spikebridge_detectors.windows.told import picture

        try:
            path.write_text(picture(self._seen, self.told, self.said.device), encoding="utf-8", errors="replace")
        except OSError as error:
            raise SpikebridgeError(f"{path}: {error.strerror}") from error


def heading(said: Said, told: Told | TimingTold | RuleTold, sentence: str) -> dict[str, Any]:
    """Return what machines are told first of an alarm of any detector."""
    alarm = told.alarm
    return {
        "device": said.device,
        "detector": said.detector,
        "model": said.model,
        "neuron": said.neuron,
        "kind": alarm.kind,
        "time_ns": alarm.time_ns,
        "score": alarm.score,
        "explanation": sentence,
        "held": told.held,
        "threshold": told.threshold,
    }


def _column(column: Column) -> dict[str, Any]:
    """Return a column; a value that is no number is null."""
    value = column.value if math.isfinite(column.value) else None
    return {
        "name": column.name,
        "value": value,
        "usual": column.usual,
        "low": column.low,
        "high": column.high,
        "far": column.far,
    }
