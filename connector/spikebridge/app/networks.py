"""Revisions with models, before they come into force: verified here too where keys are named, and with their networks ready to run."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from spikebridge import metrics as numbers
from spikebridge.app.chosen import ChosenRevisions
from spikebridge.detect.load import verify_models
from spikebridge.detect.running import warm
from spikebridge.detect.served import serving
from spikebridge.errors import ContentError, RevisionError, SchemaError
from spikebridge.mapping.rules import read_revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from spikebridge.detect.file import ModelFile
    from spikebridge.detect.served import Line
    from spikebridge.logs import Numbered, Revisions
    from spikebridge.metrics import Metrics

READY_S = 60.0
"""So long a process waits for the networks of a set of models to be compiled before it goes on."""

HELD = 16
"""So many sets are remembered; what was compiled before is ready at once."""

SAID_S = 0.1
"""What is ready sooner isn't worth a line."""

AGAIN_S = 60.0
"""A revision that was refused is looked at again so often: a key may have been added."""

_UNREADABLE = (SchemaError, RevisionError)
"""Told by whoever matches with it."""

_log = logging.getLogger(__name__)


class _Compiling(NamedTuple):
    """What is being compiled, or was, and until when it is waited for."""

    said: Future[str]
    until: float


class Networks:
    """
    Compiles the networks of models in threads of their own.

    A set of models is waited for once in a process: whoever asks later, as each partition does, waits for what is left of that.
    """

    def __init__(
        self,
        wait_s: float = READY_S,
        compiling: Callable[[Iterable[Line]], str] = warm,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Compile nothing yet."""
        self._wait_s = wait_s
        self._compiling = compiling
        self._monotonic = monotonic
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, ...], _Compiling] = OrderedDict()

    def __call__(self, files: Sequence[ModelFile]) -> None:
        """Wait until those of these models are compiled, or the time is up."""
        if not files:
            return
        began, models = self._monotonic(), tuple(file.digest for file in files)
        with self._lock:
            first = models not in self._known
            found = self._begun(models, files) if first else self._known[models]
        try:
            said = found.said.result(max(0.0, found.until - self._monotonic()))
        except NotYet:
            if first:
                text = "networks are not compiled after %.0f s: going on, and the first raw spikes wait for the rest"
                _log.warning(text, self._wait_s)
        else:
            took = self._monotonic() - began
            _log.log(logging.INFO if first and took >= SAID_S else logging.DEBUG, "%s, ready after %.1f s", said, took)

    def _begun(self, models: tuple[str, ...], files: Sequence[ModelFile]) -> _Compiling:
        pool = ThreadPoolExecutor(1, "networks")
        try:
            found = _Compiling(pool.submit(self._compiling, serving(files).values()), self._monotonic() + self._wait_s)
        finally:
            pool.shutdown(wait=False)
        self._known[models] = found
        if len(self._known) > HELD:
            self._known.popitem(last=False)
        return found


make_ready = Networks()
"""Those of this process: what is compiled is the process's too."""


class ReadyRevisions:
    """Revisions whose networks are compiled before they are in force: the first call in a process takes seconds, and devices would wait."""

    def __init__(self, revisions: Revisions, ready: Callable[[Sequence[ModelFile]], None] = make_ready) -> None:
        """Follow these."""
        self._revisions = revisions
        self._make_ready = ready
        self._ready = -1

    def publish(self, content: bytes) -> int:
        """Hand through."""
        return self._revisions.publish(content)

    def revision(self, number: int) -> bytes | None:
        """Return a content; whoever reads it is about to match with it."""
        content = self._revisions.revision(number)
        if content is not None and number != self._ready:
            self._ready = number
            with suppress(*_UNREADABLE):
                self._make_ready(_models(number, content))
        return content

    def newest(self) -> int | None:
        """Return the highest number, once its networks are ready."""
        newest = self._revisions.newest()
        if newest is not None and newest != self._ready:
            self.revision(newest)
        return newest


class VerifiedRevisions(ChosenRevisions):
    """
    The revisions whose models are signed by whom this instance trusts: another one is passed over, and that is said once.

    One that is in force already is handed through: what a partition's alerts are is a function of its log, not of our keys.
    """

    def __init__(
        self, revisions: Numbered, keys: Path, metrics: Metrics, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Follow these; `keys` is read again for each revision."""
        super().__init__(revisions)
        self._keys = keys
        self._metrics = metrics
        self._monotonic = monotonic
        self._good: set[int] = set()
        self._refused: dict[int, tuple[str, float]] = {}

    def newest(self) -> int | None:
        """Return the highest number that may come into force here; looked for anew each time, since a key may have been added."""
        return self._from(self._revisions.newest())

    def refuses(self, number: int) -> bool:
        """Say whether models in one are of nobody who is trusted."""
        if number in self._good:
            return False
        before, again = self._refused.get(number, ("", 0.0))
        now = self._monotonic()
        if before and now < again:
            return True
        reason = self._fault(number)
        if not reason:
            self._good.add(number)
            self._refused.pop(number, None)
            return False
        self._refused[number] = reason, now + AGAIN_S
        if reason != before:
            self._metrics.inc(numbers.RELOADS_REFUSED)
            _log.error("revision %d does not come into force here, the last good one stays: %s", number, reason)
        return True

    def _fault(self, number: int) -> str:
        content = self.revision(number) or b""
        try:
            with suppress(*_UNREADABLE):
                verify_models(_models(number, content), self._keys)
        except ContentError as error:
            return "; ".join(f"{one.file}: {one.message}" for one in error.problems)
        return ""


def _models(number: int, content: bytes) -> list[ModelFile]:
    return read_revision(number, content).rule_set.model_files
