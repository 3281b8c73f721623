"""
The embedded store: what `alerts`, `explain` and `replay` read.

::

    sinks:
      store: {type: store, size: 4GB}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from spikebridge.errors import SinkUnavailable, StoreError
from spikebridge.store import FINDINGS_BYTES, Store
from spikebridge.validation import Content, Size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spikebridge.alerts import AlertEntry


class Settings(Content):
    """What it keeps."""

    max_bytes: Size = Field(
        FINDINGS_BYTES,
        ge=1_000_000,
        alias="size",
        description="How many bytes of findings are kept, at least 1MB; those that came first go first. The file takes up to about twice as much. Default 10GB.",
    )


class StoreSink:
    """
    Keep findings with their evidence in `store.db` of the data directory.

    Exactly once: an id that is there stays as it is, an incident gives way to a higher version. The file shrinks by nothing that goes:
    what comes takes its place.
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

    def write(self, findings: Sequence[AlertEntry]) -> int:
        """Keep all in one transaction; what can't be read is refused."""
        self.open()
        if self._store is None:
            return 0
        try:
            return self._store.write(findings, max_bytes=self.settings.max_bytes)
        except StoreError as error:
            raise SinkUnavailable(str(error)) from error

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()
            self._store = None
