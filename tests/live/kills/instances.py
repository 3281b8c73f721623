"""Instances of the service as processes that die and come back."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.live.servers.process import Server, stop_all

from spikebridge.app.status import read_status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[3]
STOP_S = 60.0
REST_S = 300.0
_PAUSE_S = 0.01


class Instance:
    """One instance in a directory of its own, whose configuration may be that of its siblings and a name."""

    def __init__(self, name: str, directory: Path, config: Mapping[str, Any], sabotage: str = "") -> None:
        """Write the configuration; start nothing."""
        self.name = name
        self.directory = directory
        directory.mkdir()
        self.config_file = directory / "spikebridge.yaml"
        self.config_file.write_text(json.dumps(config))
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "tests.live.kills.runner",
            directory,
        ]
        broken = ["--sabotage", sabotage] if sabotage else []
        self.server = Server(name, [*command, *broken], directory, env={"PYTHONPATH": str(ROOT)})
        self._rest = Server(f"{name}-rest", [*command, "--rest"], directory, env={"PYTHONPATH": str(ROOT)})

    def start(self, fuse: str = "") -> None:
        """Start, with a fuse if there is one (`join 2`); don't wait."""
        if fuse:
            self.arm(fuse)
        self.server.launch()

    def arm(self, fuse: str) -> None:
        """Have it die at a point."""
        (self.directory / "fired").unlink(missing_ok=True)
        part = self.directory / "fuse.part"
        part.write_text(fuse)
        part.rename(self.directory / "fuse")

    def await_end(self, deadline_s: float) -> str:
        """Return the point at which it died, "" if it was still alive after so long."""
        end = time.monotonic() + deadline_s
        while self.server.running:
            if time.monotonic() > end:
                return ""
            time.sleep(_PAUSE_S)
        fired = self.directory / "fired"
        return fired.read_text() if fired.exists() else "by itself"

    def kill(self) -> None:
        """Kill -9; a fuse that is left is put out."""
        self.server.kill()
        (self.directory / "fuse").unlink(missing_ok=True)

    def stop(self) -> None:
        """End it as its operator would."""
        self.server.stop(STOP_S)

    def deliver_rest(self) -> None:
        """Run the later stages once more, as an operator may: what the last alerts before the end gave must not wait for a start."""
        self._rest.launch()
        assert self._rest.reap(REST_S), f"{self._rest.name} goes on after {REST_S:g} s: {self._rest.tail()}"
        assert self._rest.ending == "code 0", f"{self._rest.name}: {self._rest.ending}: {self._rest.tail()}"

    def troubles(self) -> str:
        """Return what its stages last failed with."""
        status = read_status(self.directory / "data")
        return "; ".join(f"{stage.name}: {stage.error}" for stage in status.stages if stage.error) if status else ""


def stop_together(instances: Sequence[Instance]) -> None:
    """End them as their operator would, at once: nobody takes over from another one that goes."""
    stop_all([instance.server for instance in instances], STOP_S)
    for instance in instances:
        assert instance.server.ending in ("code 0", ""), f"{instance.name}: {instance.server.ending}: {instance.server.tail()}"
