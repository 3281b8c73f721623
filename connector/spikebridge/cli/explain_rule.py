"""What `explain` says of the simple rules: what was measured, and what is normal for the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spikebridge.cli.explain_window import heading
from spikebridge.cli.terminal import printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge.cli.explain_window import Source
    from spikebridge_detectors.evidence import Evidence
    from spikebridge_detectors.rules.told import Told


class ExplainedRule:
    """The evidence of one alarm of a rule, run through the rules once more."""

    def __init__(self, source: Source, evidence: Evidence) -> None:
        """Run it; what is wrong with it is said with its name."""
        from spikebridge_detectors.errors import ModelError
        from spikebridge_detectors.rules.again import found
        from spikebridge_detectors.rules.told import told

        self.said = evidence.said
        self._name = source.name
        try:
            alarms = found(evidence)
            wanted = (self.said.kind, self.said.time_ns, self.said.score)
            alarm = next((one for one in alarms if (one.kind, one.time_ns, one.score) == wanted), None)
            if alarm is None:
                raise SpikebridgeError(f"{source.name}: the alarm doesn't follow from its evidence: see `{source.replay}`")
            self.told: Told = told(evidence, alarm)
        except ModelError as error:
            raise SpikebridgeError(f"{source.name}: {error}") from error

    def sentence(self) -> str:
        """Return it in one sentence."""
        from spikebridge_detectors.rules.told import sentence

        return f"{self.said.kind} (neuron {self.said.neuron}) of {sentence(self.told, self.said.device)}"

    def show(self) -> None:
        """Print the sentence."""
        print(printable(self.sentence()))

    def document(self) -> dict[str, Any]:
        """Return the same for machines."""
        said = self.told
        minute = {"packets": said.packets, "usual": said.usual, "low": said.low, "high": said.high}
        return {**heading(self.said, said, self.sentence()), "unit": said.unit, **(minute if said.packets is not None else {})}

    def plot(self, path: Path) -> None:
        """Refuse: a rule has no spikes to draw."""
        raise SpikebridgeError(f"{self._name}: an alarm of the rule {self.said.kind} has no spikes to draw in {path}")
