"""What `replay ID` does for an alert whose frames came from a network at the edge: each alarm again, from the evidence that travelled with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from spikebridge.cli.attached import attached
from spikebridge.cli.replay_file import document, show, warn_of_lava
from spikebridge.cli.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spikebridge.alerts import Alert
    from spikebridge.cli.attached import Attached
    from spikebridge_detectors.replay import Replayed


class Network(NamedTuple):
    """What an alarm's evidence gave; without `found` it wasn't run."""

    of: Attached
    differences: Sequence[str]
    found: Replayed | None = None
    missing: str = ""

    @property
    def verdict(self) -> str:
        """Return `same`, `differs` or `not run`."""
        if self.found is None:
            return "differs" if self.differences else "not run"
        return self.found.verdict

    def show(self) -> None:
        """Print the verdict, and that of each engine."""
        if self.found is not None and self.of.evidence is not None:
            show(self.of.evidence.said, self.found)
            return
        said = f"{self.of.evidence.said.kind} of {self.of.evidence.said.device}: " if self.of.evidence else ""
        print(printable(f"{self.verdict}: {said}{self.missing or self.of.name}"))
        for text in self.differences:
            print(f"  differs: {printable(text)}")

    def document(self) -> dict[str, Any]:
        """Return the same for machines."""
        place = {"offset": self.of.offset}
        if self.found is not None and self.of.evidence is not None:
            return place | document(self.of.evidence.said, self.found)
        said = self.of.evidence.said if self.of.evidence else None
        named = {"device": said.device, "kind": said.kind, "time_ns": said.time_ns, "model": said.model} if said else {}
        return {**place, **named, "verdict": self.verdict, "differences": list(self.differences), "why": self.missing}


def networks(alert: Alert, raws: Sequence[bytes], folder: Path | None, *, lava: bool) -> list[Network]:
    """Run the network of each frame that counted and has evidence, oldest first."""
    found = attached(alert, raws, folder)
    if lava:
        warn_of_lava(sum(one.runs for one in found))
    return [_run(one, lava=lava) for one in found]


def _run(one: Attached, *, lava: bool) -> Network:
    from spikebridge_detectors.errors import ModelError
    from spikebridge_detectors.replay import replayed

    if one.evidence is None or not one.runs:
        return Network(one, one.differences, missing="" if one.differences else one.missing)
    try:
        return Network(one, (), replayed(one.evidence, one.folder, lava=lava))
    except (ModelError, OSError) as error:
        return Network(one, [str(error)])
