"""
Everything that Spikebridge raises on purpose.

::

    SpikebridgeError
    ├── ContentError        a file that people wrote is wrong: problems with file, line, column
    ├── FrameError          bytes that are no frame, or facts that no frame can hold
    ├── SecretError         a `${env:...}` or `${file:...}` can't be resolved
    ├── LogError            the spike log or the alert log
    │   ├── LogFull         the limit is reached (or the disk is): nothing was appended
    │   ├── LogBusy         another process owns the spikes stage of this log
    │   └── LogMissing      records that are needed are no longer (or not yet) there
    ├── SchemaError         a file on disk was written by a newer version
    ├── StoreError          the embedded store
    └── SinkError
        ├── SinkUnavailable try again later: nothing of this batch counts as delivered
        └── SinkRefused     these alerts will never be taken: dead letters

Foreign exceptions are mapped to these at the edge, in the module that owns the library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


class SpikebridgeError(Exception):
    """The root: its text is one sentence for the operator."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One finding in a file that people wrote."""

    file: str
    line: int
    column: int
    where: str
    message: str
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        """Read as a compiler's message does: editors jump to it."""
        where = f"{self.where}: " if self.where else ""
        warning = "warning: " if self.level == "warning" else ""
        return f"{self.file}:{self.line}:{self.column}: {warning}{where}{self.message}"


class ContentError(SpikebridgeError):
    """A file that people wrote is refused whole, with every problem at once."""

    def __init__(self, problems: list[Problem]) -> None:
        """Keep the problems in the order in which a reader meets them."""
        self.problems = sorted(problems)
        super().__init__("\n".join(map(str, self.problems)))


class FrameError(SpikebridgeError, ValueError):
    """Bytes are no frame, or facts fit in none: the text is the reason that a dead letter names."""


class SecretError(SpikebridgeError):
    """A secret's reference can't be resolved; its value is never part of the text."""


class LogError(SpikebridgeError):
    """A log can't do what was asked."""


class LogFull(LogError):  # noqa: N818 -- a state of the log, named as operators say it
    """The log is at its limit, or the disk is: nothing of this append was kept."""


class LogBusy(LogError):  # noqa: N818 -- as above
    """Another living process owns the spikes stage of this log."""


class LogMissing(LogError):  # noqa: N818 -- as above
    """Records that are needed are no longer there, or the log is not there at all."""


class SchemaError(SpikebridgeError):
    """A file on disk was written by a newer version of Spikebridge."""


class StoreError(SpikebridgeError):
    """The embedded store can't do what was asked."""


class SinkError(SpikebridgeError):
    """A sink did not take what it was given."""


class SinkUnavailable(SinkError):  # noqa: N818 -- a state of the sink
    """Try the same batch again later."""


class SinkRefused(SinkError):  # noqa: N818 -- a state of the alerts
    """These entries will never be taken, whatever is tried: `reasons` by entry id."""

    def __init__(self, reasons: dict[str, str]) -> None:
        """Name each refused entry and why; all others of the batch are delivered."""
        self.reasons = reasons
        super().__init__(f"{len(reasons)} refused: {next(iter(reasons.values()), '')}")
