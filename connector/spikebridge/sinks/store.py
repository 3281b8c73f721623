"""
The embedded store: what `alerts`, `explain`, `replay` and the console read.

::

    sinks:
      store: {type: store}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.errors import SinkUnavailable, StoreError
from spikebridge.store import Store
from spikebridge.validation import Content

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spikebridge.alerts import AlertEntry


class Settings(Content):
    """It has none: the store lies in the data directory."""


class StoreSink:
    """
    Keep findings with their evidence in `store.db` of the data directory.

    Exactly once: an id that is there stays as it is, an incident gives way to a higher version.
    """

    def __init__(self, settings: Settings, data: Path) -> None:
        """Open nothing yet."""
        self.settings = settings
        self._data = data
        self._store: Store | None = None

    def open(self) -> None:
        """Open the store, and create it where there is none."""
        if self._store is None:
            try:
                self._store = Store(self._data)
            except StoreError as error:
                raise SinkUnavailable(str(error)) from error

    def write(self, findings: Sequence[AlertEntry]) -> None:
        """Keep all in one transaction."""
        self.open()
        if self._store is not None:
            try:
                self._store.write(findings)
            except StoreError as error:
                raise SinkUnavailable(str(error)) from error

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()
            self._store = None
