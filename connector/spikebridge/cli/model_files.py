"""Model files as commands read them: whatever is wrong with one is said with its name."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikebridge_detectors.model.file import Model


def model_file(text: str) -> Path:
    """Return where a model lies: a file, or one that ships, by its name alone."""
    from spikebridge_detectors.shipped.pins import PINS, place

    path = Path(text)
    return place(text) if text in PINS and not path.exists() else path


def model_at(file: Path) -> Model:
    """Read a model, whoever signed it."""
    from spikebridge_detectors.model import container
    from spikebridge_detectors.model.file import opened

    with named(file):
        return opened(container.read(file))


@contextmanager
def named(file: Path) -> Iterator[None]:
    """Say of which file something is wrong."""
    from spikebridge_detectors.errors import ModelError

    try:
        yield
    except ModelError as error:
        raise SpikebridgeError("\n".join(f"{file}: {line}" for line in str(error).splitlines())) from error
