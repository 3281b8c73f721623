"""Revisions whose content is no rule set, or not whole: none of them ever comes into force, and a marker that names one is ignored."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from spikebridge import metrics as numbers
from spikebridge.app.chosen import ChosenRevisions
from spikebridge.errors import RevisionError, SchemaError
from spikebridge.mapping.rules import known_revision, read_revision

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikebridge.logs import Numbered
    from spikebridge.metrics import Metrics

_log = logging.getLogger(__name__)


class Refusals:
    """Says and counts each revision that is none once, however many stages and partitions of a process pass it over."""

    def __init__(self, metrics: Metrics) -> None:
        """Begin with none."""
        self._metrics = metrics
        self._told: set[str] = set()

    def __call__(self, error: RevisionError) -> None:
        """Say it, unless it was said."""
        text = str(error)
        if text not in self._told:
            self._told.add(text)
            self._metrics.inc(numbers.RELOADS_REFUSED)
            _log.error("%s; it does not come into force, the last good one stays", text)


def _nobody(_error: RevisionError) -> None:
    """Leave the telling to the stages."""


class ReadableRevisions(ChosenRevisions):
    """The revisions whose content is whole and a rule set, or will be one for a newer Spikebridge: others are passed over, as if they weren't there."""

    def __init__(self, revisions: Numbered, refused: Callable[[RevisionError], None] = _nobody) -> None:
        """Follow these; `refused` hears of what is passed over."""
        super().__init__(revisions)
        self._refused = refused

    def known(self) -> bool:
        """Say whether there is a revision to begin with; `SchemaError` if only a newer Spikebridge can."""
        newest = self.newest()
        return newest is not None and known_revision(newest, self.revision(newest)) is not None

    def refuses(self, number: int) -> bool:
        """Say whether one is no rule set, or not whole."""
        try:
            with suppress(SchemaError):  # told by whoever matches with it
                read_revision(number, self.revision(number) or b"")
        except RevisionError as error:
            self._refused(error)
            return True
        return False
