"""To which neurons of what is sent no mapping listens, where the mappings that will judge it are at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.cli.arguments import configuration
from spikebridge.cli.terminal import counted, printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from spikebridge.logs.spool import Spool
    from spikebridge.mapping.rules import Revision
    from spikebridge.mapping.survey import Listening
    from spikebridge.spikes.record import Record

SHOWN = 5
KEPT = 1_000


class Unmapped:
    """Neurons that spiked and to which no mapping listens, each once, at most a thousand."""

    def __init__(self, listening: Listening) -> None:
        """Begin with none."""
        self._listening = listening
        self.neurons: dict[tuple[str, int], None] = {}

    def look(self, records: Sequence[Record]) -> None:
        """Take records."""
        for one in sorted(self._listening.misses(records)):
            if len(self.neurons) < KEPT:
                self.neurons[one] = None

    def line(self) -> str:
        """Say how many, and the first of them; nothing where there are none."""
        from spikebridge.spikes.batch import SUMMARY

        if not self.neurons:
            return ""
        shown = [
            f"{'the sum' if neuron == SUMMARY else neuron} of {f'layer {layer}' if layer else 'another layer'}"
            for layer, neuron in self.neurons
        ]
        more = f" and {len(shown) - SHOWN:,} more" if len(shown) > SHOWN else ""
        at_least = "at least " if len(self.neurons) == KEPT else ""
        return printable(
            f"no mapping listens to {at_least}{counted(len(shown), 'neuron')} that spiked: {', '.join(shown[:SHOWN])}{more}"
        )


def unmapped(args: argparse.Namespace, spool: Spool) -> Unmapped | None:
    """Begin under the mappings of the configuration, or the newest revision of a spool that was named; None where they can't be read."""
    from spikebridge.mapping.survey import Listening

    try:
        revision = _in_force(spool) if args.to or args.data else _configured(args)
    except SpikebridgeError:
        return None  # whoever brings them into force is told what is wrong with them
    return Unmapped(Listening(revision)) if revision else None


def _in_force(spool: Spool) -> Revision | None:
    from spikebridge.app.readable import ReadableRevisions
    from spikebridge.mapping.rules import read_revision

    number = ReadableRevisions(spool).newest()
    content = None if number is None else spool.revision(number)
    return None if number is None or content is None else read_revision(number, content)


def _configured(args: argparse.Namespace) -> Revision:
    from spikebridge.mapping.load import load
    from spikebridge.mapping.rules import Revision

    config = configuration(args, sinks=False)
    return Revision(number=1, digest="", rule_set=load(config.mappings, config.inventory, config.limits).rule_set)
