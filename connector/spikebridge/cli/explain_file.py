"""What `explain FILE` says: which neuron of a network fired, what surprised it, and what it had learned of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spikebridge.cli.explain_rule import ExplainedRule
from spikebridge.cli.explain_window import ExplainedWindow, Source, heading
from spikebridge.cli.replay_file import read_evidence
from spikebridge.cli.terminal import counted, print_table, printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge_detectors.evidence import Evidence
    from spikebridge_detectors.timing.told import Baseline, Told

SHOWN = 10


def explained(path: Path) -> Explained | ExplainedRule | ExplainedWindow:
    """Read the evidence of an alarm, and run it through the network or the rules that it is of."""
    return explained_from(Source(str(path), path.parent, f"spikebridge replay {path}"), read_evidence(path))


def explained_from(source: Source, evidence: Evidence) -> Explained | ExplainedRule | ExplainedWindow:
    """Run the evidence of an alarm through the network or the rules that it is of."""
    if evidence.said.detector == "rules":
        return ExplainedRule(source, evidence)
    return Explained(source, evidence) if evidence.said.detector == "timing" else ExplainedWindow(source, evidence)


class Explained:
    """The evidence of one alarm, run through the network once more."""

    def __init__(self, source: Source, evidence: Evidence) -> None:
        """Run it; what is wrong with it is said with its name."""
        from spikebridge_detectors.errors import ModelError
        from spikebridge_detectors.replay import trace_of
        from spikebridge_detectors.timing.told import told

        self.said = evidence.said
        try:
            self._trace = trace_of(evidence)
        except ModelError as error:
            raise SpikebridgeError(f"{source.name}: {error}") from error
        alarm = next((one for one in self._trace.alarms if (one.kind, one.time_ns) == (self.said.kind, self.said.time_ns)), None)
        if alarm is None:
            raise SpikebridgeError(f"{source.name}: the alarm doesn't follow from its evidence: see `{source.replay}`")
        self.told: Told = told(self._trace, alarm)

    def sentence(self) -> str:
        """Return it in one sentence."""
        from spikebridge_detectors.timing.told import sentence

        return f"{self.said.kind} (neuron {self.said.neuron}) of {sentence(self.told, self.said.device)}"

    def show(self) -> None:
        """Print the sentence and what filled the counter, newest first."""
        from spikebridge.timestamps import rfc3339_ms
        from spikebridge_detectors.timing.told import described

        said = self.told
        print(printable(self.sentence()))
        if said.surprises:
            print()
            shown = said.surprises[:SHOWN]
            rows = [
                (rfc3339_ms(one.time_ns), one.counted, f"{one.sigma:.1f}" if one.sigma else "-", described(one)) for one in shown
            ]
            print_table(("time", "counts", "sigma", "packet"), rows)
            if len(said.surprises) > len(shown):
                print(f"and {counted(len(said.surprises) - len(shown), 'packet')} more: --json has them")
        if said.earlier:
            print(f"\nbefore these packets, within half an hour: {counted(said.earlier, 'kind of gap')} that surprised too")

    def document(self) -> dict[str, Any]:
        """Return the same for machines."""
        said = self.told
        return {
            **heading(self.said, self.told, self.sentence()),
            "unit": said.unit,
            "earlier": said.earlier,
            "surprises": [
                {
                    "time_ns": one.time_ns,
                    "packet": one.packet,
                    "before": one.before,
                    "learned": one.known,
                    "counted": one.counted,
                    "gap": _gap(one.gap_ns, one.gap, surprised=one.surprised[0]),
                    "own_gap": _gap(one.own_ns, one.own, surprised=one.surprised[1]),
                }
                for one in said.surprises
            ],
        }

    def plot(self, path: Path) -> None:
        """Write the raster."""
        from spikebridge_detectors.timing.picture import picture

        try:
            path.write_text(picture(self._trace, self.told, self.said.device), encoding="utf-8", errors="replace")
        except OSError as error:
            raise SpikebridgeError(f"{path}: {error.strerror}") from error


def _gap(seen_ns: int, known: Baseline | None, *, surprised: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"seen_ns": seen_ns, "surprised": surprised}
    if known:
        found |= {
            "usual_ns": round(known.usual_ns),
            "low_ns": round(known.low_ns),
            "high_ns": round(known.high_ns),
            "sigma": round(known.sigma, 2),
        }
    return found
