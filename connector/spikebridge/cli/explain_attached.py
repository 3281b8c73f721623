"""What `explain ID` says of the networks whose frames an alert rests on, from the evidence that came with them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from spikebridge.cli.attached import WITHOUT_MODEL, attached
from spikebridge.cli.explain_file import explained_from
from spikebridge.cli.explain_rule import ExplainedRule
from spikebridge.cli.explain_window import Source
from spikebridge.cli.terminal import counted, printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spikebridge.alerts import Alert
    from spikebridge.cli.attached import Attached
    from spikebridge.cli.explain_file import Explained
    from spikebridge.cli.explain_window import ExplainedWindow
    from spikebridge_detectors.evidence import Evidence

SHOWN = 3


class Networks:
    """The networks of an alert, oldest first: each explained, or why not."""

    def __init__(self, alert: Alert, raws: Sequence[bytes], folder: Path | None) -> None:
        """Run those that can be run."""
        from spikebridge.mapping.evidence import LISTED

        self._replay = f"spikebridge replay {alert.id[:8]}"
        neurons = {one.neuron for one in alert.neurons}
        self._counted = neurons if None not in neurons and len(alert.neurons) < LISTED else set()
        self._found = [(one, self._explained(one)) for one in attached(alert, raws, folder)]

    def _explained(self, one: Attached) -> Explained | ExplainedRule | ExplainedWindow | str:
        """Explain one alarm; a text says why it can't be."""
        if one.missing:
            return f"{one.name}: {one.missing}"
        if one.evidence is None or one.differences:
            return f"{one.name}: {'; '.join(one.differences)}: see `{self._replay}`"
        try:
            return explained_from(Source(one.name, one.folder, self._replay), one.evidence)
        except SpikebridgeError as error:
            return str(error)

    def show(self) -> None:
        """Print the last ones, which come next to the spike that crossed."""
        shown = self._found[-SHOWN:]
        if shown:
            ruled = all(isinstance(one, ExplainedRule) for _, one in shown)
            print(f"\nwhat the {'rule measured' if ruled else 'network saw'}:")
        for of, one in shown:
            if isinstance(one, str):
                print(f"not explained: {printable(one)}")
            else:
                if self._another(of):
                    print(f"of another neuron than the alert counts ({self._named()}); a frame carries evidence of its oddest:")
                one.show()
        if len(self._found) > len(shown):
            print(f"and {counted(len(self._found) - len(shown), 'alarm')} before: --json has them")

    def documents(self) -> list[dict[str, Any]]:
        """Return the same for machines, and all of them; `of_alert` says whether the alert counts their neuron."""
        return [
            {"offset": of.offset}
            | ({"why": one} if isinstance(one, str) else one.document() | {"of_alert": not self._another(of)})
            for of, one in self._found
        ]

    def _another(self, of: Attached) -> bool:
        """Say whether evidence is of a neuron that the alert doesn't count; of a whole layer, and of many, it counts any."""
        return of.evidence is not None and bool(self._counted) and of.evidence.said.neuron not in self._counted

    def _named(self) -> str:
        return ", ".join(map(str, sorted(neuron for neuron in self._counted if neuron is not None)))

    def carried(self) -> Evidence | None:
        """Return the evidence of the last frame that has some, if it is that of its frame."""
        return next((of.evidence for of, _ in reversed(self._found) if of.evidence and not of.differences), None)

    def unsaved(self) -> str:
        """Say why there is nothing to save."""
        why = [one for _, one in self._found if isinstance(one, str)]
        return why[-1] if why else "expected evidence that came with a frame of the alert, found none"

    def last(self) -> Explained | ExplainedWindow | None:
        """Return the last of a network that could be explained."""
        return next((one for _, one in reversed(self._found) if not isinstance(one, str | ExplainedRule)), None)

    def unplotted(self) -> str:
        """Say why there is nothing to plot."""
        if any(isinstance(one, ExplainedRule) for _, one in self._found):
            return "a simple rule told this, and has none"
        found = "expected evidence that came with a frame of the alert, found none that explains"
        return f"{found}; --evidence DIR names where sensing keeps what was too large to travel"


def save(evidence: Evidence, path: Path) -> None:
    """Write evidence as a file that wasn't there, and say what it needs."""
    from spikebridge_detectors.evidence import written
    from spikebridge_detectors.shipped.pins import PINS
    from spikebridge_detectors.windows.evidence import beside

    try:
        with path.open("xb") as file:
            file.write(written(evidence))
    except OSError as error:
        raise SpikebridgeError(f"{path}: {error.strerror}") from error
    said = evidence.said
    alone = said.detector in WITHOUT_MODEL or said.model in PINS.values()
    needs = "" if alone else f"; its model belongs beside it, as {beside(path.parent, said.model)}"
    sys.stderr.write(f"explain: wrote {printable(str(path) + needs)}\n")
