"""The demonstration plays on where the machine is too slow for it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from spikebridge.demo.directory import prepare
from spikebridge.demo.episodes import LIVE
from spikebridge.demo.play import Demo
from spikebridge.limits import SECOND

if TYPE_CHECKING:
    from pathlib import Path


def test_every_episode_is_told_however_late_it_is_played(tmp_path: Path) -> None:
    """By a clock that leaps two seconds whenever it is asked, so that everything is late."""
    now_ns = [1_790_000_000 * SECOND]

    def leaping() -> int:
        now_ns[0] += 2 * SECOND
        return now_ns[0]

    with Demo(prepare(tmp_path / "demo"), leaping) as demo:
        told = [moment.note for moment in islice(demo.live(once=False), 120) if moment.note]

    assert told == [episode.name for episode in LIVE[:3]]
