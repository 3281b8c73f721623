"""The demonstration's directory: configuration, inventory, spool, store, the worker's log. Everything in it can be looked at afterwards."""

from __future__ import annotations

import json
import tempfile
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from spikebridge.demo.sensed import MODEL
from spikebridge.errors import SpikebridgeError

TENANT = "demo"

_CONFIG = """\
# Written by `spikebridge demo`. The mappings are those that ship with Spikebridge; name a directory under `mappings` to try your own.
tenant: demo
data: .
inventory: site.yaml
models: [{model}]
sinks:
  store: {{type: store}}
log: {{format: text}}
"""


class Place(NamedTuple):
    """The files of one demonstration."""

    directory: Path

    @property
    def config(self) -> Path:
        """Name the configuration."""
        return self.directory / "demo.yaml"

    @property
    def inventory(self) -> Path:
        """Name the inventory."""
        return self.directory / "site.yaml"

    @property
    def worker_log(self) -> Path:
        """Name what the worker says."""
        return self.directory / "worker.log"

    @property
    def night(self) -> Path:
        """Name the recording of simulated hours."""
        return self.directory / "night.rec"


def prepare(directory: Path | None) -> Place:
    """
    Make the directory ready: a new one under the system's place for temporary files, or the one that was named.

    One that holds anything but an earlier demonstration is refused: nobody's spool is filled with made-up attacks.
    """
    if directory is None:
        directory = Path(tempfile.mkdtemp(prefix="spikebridge-demo-"))
    place = Place(directory.absolute())
    place.directory.mkdir(parents=True, exist_ok=True)
    if not place.config.exists() and any(place.directory.iterdir()):
        raise SpikebridgeError(
            f"{place.directory}: expected an empty directory, a new one, or that of an earlier demonstration, found other files: "
            "choose another with --store"
        )
    place.inventory.write_bytes(resources.files(__package__).joinpath("site.yaml").read_bytes())
    place.config.write_text(_CONFIG.format(model=json.dumps(str(MODEL))), encoding="utf-8")
    return place
