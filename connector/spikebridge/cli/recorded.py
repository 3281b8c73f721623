"""A recording that a command computes with: refused where it is none; what of it can't be read is counted, and the first of it told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from spikebridge.cli.terminal import counted, printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spikebridge.logs.recording import Recording
    from spikebridge.mapping.backtest import Refusal

QUOTED = 40
"""So many bytes are shown of what is neither frames nor JSON."""


def open_recording(path: Path, frame_ns: int) -> Recording:
    """Open a file whose beginning is a frame's or that of JSON, else refuse it, as `send` does."""
    from spikebridge.logs.recording import Recording
    from spikebridge.spikes.frame import is_frame

    log = Recording(path, time.time_ns(), frame_ns)
    for record in log.read([0]):
        if not is_frame(record.value) and record.value.lstrip()[:1] not in (b"{", b"["):
            begins = printable(record.value[:QUOTED].decode(errors="backslashreplace"))
            raise SpikebridgeError(
                f'{path}: expected frames, or lines of JSON that begin with {{ or [, found "{begins}": '
                "captures, tables and series are for `spikebridge sense`"
            )
    return log


def show_refused(count: int, first: Sequence[Refusal]) -> None:
    """Print how many parts of records can't be read, and why the first of them can't."""
    if not count:
        return
    print(f"{counted(count, 'part')} of records can't be read, and count for nothing here:")
    for one in first:
        print(printable(f"  partition {one.partition}, record {one.offset}: {one.reason}"))
    if count > len(first):
        print(f"  and {count - len(first):,} more")
