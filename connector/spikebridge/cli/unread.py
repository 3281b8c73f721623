"""What `send` and `convert` say of keys that are not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.cli.terminal import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikebridge.spikes.unread import Unread


def unread_lines(unread: Unread) -> Iterator[str]:
    """Yield a line for each key, and one for objects that hold no spike for that."""
    for key, objects, meant in unread.found():
        have = "has" if objects == 1 else "have"
        hint = f"; did you mean `{meant}`?" if meant else ""
        yield printable(f"{counted(objects, 'JSON object')} {have} the key `{key}`, which is not read{hint}")
    if unread.beyond:
        yield f"other such keys stand {unread.beyond:,} more times"
    if unread.spikeless:
        hold = "holds" if unread.spikeless == 1 else "hold"
        yield f"{counted(unread.spikeless, 'object')} with such keys {hold} no spike: neither `neuron_id` nor `spike_count` is there"
