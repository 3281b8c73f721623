"""The incident stage, made anew after an error: what a failed step left in memory never counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikebridge.correlate import IncidentStage


class Correlating:
    """An incident stage with its life."""

    def __init__(self, build: Callable[[], IncidentStage]) -> None:
        """Nothing is read before the first step."""
        self._build = build
        self._stage: IncidentStage | None = None

    def step(self) -> int:
        """Rewind if that is due, else correlate a batch; return how many entries there were."""
        stage, self._stage = self._stage, None
        if stage is None:
            stage = self._build()
            stage.open()
            self._stage = stage
            return 1
        entries = stage.step()
        self._stage = stage
        return entries

    def close(self) -> None:
        """Commit the position."""
        stage, self._stage = self._stage, None
        if stage is not None:
            stage.close()
