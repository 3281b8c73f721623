"""
The embedded spool: spike log, alert log, cursors and revisions in one SQLite file, `spool.db`.

Everything that returns is on the disk. The file survives `kill -9` at any moment, and any number of processes may append to it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from spikebridge.logs.spool.alerts import AlertLogPart
from spikebridge.logs.spool.claim import Claim
from spikebridge.logs.spool.file import LIVE, SpoolFile, end
from spikebridge.logs.spool.recordings import Input, RecordingsPart
from spikebridge.logs.spool.retention import Retention
from spikebridge.logs.spool.revisions import RevisionsPart
from spikebridge.logs.spool.schema import ALERTS, SPIKES
from spikebridge.logs.spool.spikes import SpikeLogPart
from spikebridge.logs.spool.trimming import Trimmed, trim

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from spikebridge.logs import Switches

__all__ = ["Claim", "Held", "Input", "Retention", "Spool", "Trimmed"]


class Held(NamedTuple):
    """How much the spool holds, and how many records `drop_oldest` has given up although they were needed."""

    spike_bytes: int
    alert_bytes: int
    spikes_dropped: int
    alerts_dropped: int


class Spool(SpikeLogPart, AlertLogPart, RevisionsPart, RecordingsPart):
    """
    The logs of one machine: a `SpikeLog`, an `AlertLog`, its `AlertReaders` and the `Revisions`.

    `id` is random, drawn when the file is made, and enters every alert id. There is one partition.
    """

    partition = 0
    switches: Switches = "marker"

    def __init__(
        self,
        directory: Path | str,
        retention: Retention | None = None,
        *,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
        read_only: bool = False,
    ) -> None:
        """Open the spool of a directory, and create it unless it is only to be read."""
        file = SpoolFile(Path(directory), retention or Retention(), (clock, monotonic), read_only=read_only)
        AlertLogPart.__init__(self, file, LIVE)
        self.id = file.log_id
        self.directory = file.directory

    def alert_log(self, number: int) -> AlertLogPart:
        """Return the alert log for the stages that read recording `number`: its own position, the same alerts."""
        return AlertLogPart(self._file, number)

    def claim(self, stage: str = "spikes") -> Claim:
        """Take the right to run a stage, or raise `LogBusy`; it ends with `release`, the `with` block or the process."""
        return Claim(self.directory, stage)

    def trim(self) -> Trimmed:
        """Let go of what is old and needed by nobody; the host calls it every minute or so."""
        return trim(self._file)

    def held(self) -> Held:
        """Return sizes and losses, for metrics and `status`."""
        with self._file.database.reading() as connection:
            spikes, alerts = end(connection, SPIKES), end(connection, ALERTS)
        return Held(spikes.bytes, alerts.bytes, spikes.dropped, alerts.dropped)

    def close(self) -> None:
        """Close the file for all threads; twice does nothing."""
        self._file.database.close()

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()
