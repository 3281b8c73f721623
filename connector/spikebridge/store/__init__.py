"""The embedded store: alerts and incidents with their evidence, dead letters and the audit log in one SQLite file, `store.db`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from spikebridge.database import Database
from spikebridge.store.audit import AuditPart, AuditRow, Verdict
from spikebridge.store.findings import FINDINGS_BYTES, FindingsPart, Query
from spikebridge.store.letters import DeadLetter, LettersPart, SinkLetters, letter_entry, record_letter, sink_letter
from spikebridge.store.schema import FAULTS, SCHEMA, StorePart

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "FINDINGS_BYTES",
    "AuditRow",
    "DeadLetter",
    "Query",
    "SinkLetters",
    "Store",
    "Verdict",
    "letter_entry",
    "record_letter",
    "sink_letter",
]


class Store(FindingsPart, LettersPart, AuditPart):
    """`store.db` of a directory, for any number of threads and processes; whatever returns is on the disk."""

    def __init__(self, directory: Path | str, *, read_only: bool = False) -> None:
        """Open it, and create it unless it is only to be read."""
        StorePart.__init__(self, Database(Path(directory) / "store.db", SCHEMA, FAULTS, read_only=read_only))

    def close(self) -> None:
        """Close the file for all threads; twice does nothing."""
        self._database.close()

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        self.close()
