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
    │   ├── LogMissing      records that are needed are no longer (or not yet) there
    │   ├── LogReplaced     the log was deleted and made again: it is another one now
    │   ├── LogUnavailable  try again later: the broker is away, or busy with a new leader or owner
    │   ├── LogDenied       the broker refuses our credentials or rights
    │   ├── RevisionError   what the revisions log holds under a number is no rule set
    │   └── LogRefused      refused as it is asked: tried again it helps only once somebody has changed something
    │       └── LogTooLarge this record will never be taken: dead letters
    ├── SchemaError         a file on disk was written by a newer version
    ├── StoreError          the embedded store
    └── SinkError
        ├── SinkUnavailable try again later: what of the batch is named (or all of it)
        │   └── SinkDenied  the credentials or rights are refused: trying at once can only lock an account
        ├── SinkTooLarge    the batch is more than the sink takes at once: send it in two parts
        └── SinkRefused     these alerts will never be taken: dead letters

Foreign exceptions are mapped to these at the edge, in the module that owns the library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


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


class LogReplaced(LogMissing):
    """The log was deleted and made again under its name: positions in the old one mean nothing in it."""


class LogUnavailable(LogError):  # noqa: N818 -- as above
    """Nothing is known to be done: try again later."""


class LogDenied(LogError):  # noqa: N818 -- as above
    """The broker refuses our credentials, or what we ask with them."""


class RevisionError(LogError):
    """What the revisions log holds under a number is no rule set: it never comes into force, here or anywhere."""


class LogRefused(LogError):  # noqa: N818 -- as above
    """The log refuses what is asked as it is asked: a clock, a policy or a setting of a topic may be wrong, and the record good."""


class LogTooLarge(LogRefused):
    """
    The record is larger than the log takes: no clock and no policy that somebody mends makes it smaller.

    `at`: which of the messages of an append it is. `appended`: the offsets of those that are in the log all the same.
    """

    def __init__(self, message: str, *, at: int = 0, appended: Mapping[int, int] | None = None) -> None:
        """Say what the operator should know; of one message alone, that is all there is to say."""
        self.at = at
        self.appended = dict(appended or {})
        super().__init__(message)


class SchemaError(SpikebridgeError):
    """A file on disk was written by a newer version of Spikebridge."""


class StoreError(SpikebridgeError):
    """The embedded store can't do what was asked."""


class SinkError(SpikebridgeError):
    """A sink did not take what it was given."""


class SinkUnavailable(SinkError):  # noqa: N818 -- a state of the sink
    """
    Try later again what was not taken.

    `undelivered` are the ids of the batch that this concerns, None means all; the others are delivered, or `refused` with a reason.
    `after_s`: before that much time has passed, trying again makes it worse. `doubtful`: so many of them may have arrived all the same.
    `known`: so many of the others were there already.
    """

    def __init__(
        self,
        message: str,
        *,
        undelivered: Collection[str] | None = None,
        refused: Mapping[str, str] | None = None,
        after_s: float = 0.0,
        doubtful: int = 0,
        known: int = 0,
    ) -> None:
        """Say what the operator should know; without more, nothing of the batch counts as delivered."""
        self.undelivered = undelivered
        self.refused = dict(refused or {})
        self.after_s = after_s
        self.doubtful = doubtful
        self.known = known
        super().__init__(message)


class SinkDenied(SinkUnavailable):
    """The sink refuses our credentials, or what we ask with them: somebody must act."""

    def __init__(
        self,
        message: str,
        *,
        undelivered: Collection[str] | None = None,
        refused: Mapping[str, str] | None = None,
        after_s: float = 300.0,
        doubtful: int = 0,
        known: int = 0,
    ) -> None:
        """Wait long: an account may be locked after too many attempts."""
        super().__init__(message, undelivered=undelivered, refused=refused, after_s=after_s, doubtful=doubtful, known=known)


class SinkTooLarge(SinkError):  # noqa: N818 -- a state of the batch
    """The batch is more than the sink takes in one request; one entry alone that is too large is refused for good."""


class SinkRefused(SinkError):  # noqa: N818 -- a state of the alerts
    """
    These entries will never be taken, whatever is tried: `reasons` by entry id.

    `known` of the others were there already; `doubtful` were sent twice and may be there twice.
    """

    def __init__(self, reasons: dict[str, str], *, known: int = 0, doubtful: int = 0) -> None:
        """Name each refused entry and why; all others of the batch are delivered."""
        self.reasons = reasons
        self.known = known
        self.doubtful = doubtful
        super().__init__(f"{len(reasons)} refused: {next(iter(reasons.values()), '')}")
