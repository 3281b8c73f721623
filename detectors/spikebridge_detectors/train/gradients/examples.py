"""Labelled examples from a file of arrays (.npz), none of which is read before its size is known."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.raster import pack
from spikebridge_detectors.train.gradients.plan import HELD_BACK, Examples

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_MOST_BYTES = 1 << 28
_NAMES = {"spikes", "labels"}
_AXES = 3


def read(path: Path) -> Examples:
    """Read `spikes`, 0 or 1 as [example, line, step], and `labels`, a whole number for each example."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            if found.keys() != _NAMES or len(archive.infolist()) != len(_NAMES):
                raise ModelError(f"expected the arrays labels and spikes, found {', '.join(sorted(found)) or 'none'}")
            if (size := sum(entry.file_size for entry in found.values())) > _MOST_BYTES:
                raise ModelError(f"expected at most {_MOST_BYTES:,} bytes of arrays, found {size:,}")
            arrays = {name: _array(archive, entry) for name, entry in found.items()}
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError) as error:
        raise ModelError(f"expected arrays as numpy.savez writes them, found none: {error}") from error
    return _examples(arrays["spikes"], arrays["labels"])


def held_back(examples: Examples, share: float, seed: int) -> tuple[Examples, NDArray[np.bool_]]:
    """Hold a share of the examples back that are to be learned from, by luck from the seed; return which."""
    free = np.flatnonzero(examples.labels != HELD_BACK)
    some = np.random.default_rng([seed, 1]).permutation(free)[: int(len(free) * share)]
    held = np.zeros(len(examples.labels), np.bool_)
    held[some] = True
    return replace(examples, labels=np.where(held, HELD_BACK, examples.labels).astype(np.int16)), held


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    """Read one array, once what its header claims is known to be what the archive holds."""
    with archive.open(entry) as file:
        form = np.lib.format
        version = form.read_magic(file)
        read_header = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}.get(version)
        if read_header is None:
            raise ModelError(f"{entry.filename}: expected version 1 or 2 of the format, found {version}")
        shape, fortran, dtype = read_header(file)
        if dtype.kind not in "biu" or fortran:
            raise ModelError(f"{entry.filename}: expected whole numbers row by row, found {dtype}")
        count = 1
        for length in shape:
            count *= length
        data = file.read(min(count * dtype.itemsize, _MOST_BYTES) + 1)
    if len(data) != count * dtype.itemsize:
        raise ModelError(f"{entry.filename}: expected {count * dtype.itemsize:,} bytes, as its header says, found others")
    return np.frombuffer(data, dtype).reshape(shape)


def _examples(spikes: NDArray[Any], labels: NDArray[Any]) -> Examples:
    if spikes.ndim != _AXES or labels.ndim != 1 or len(labels) != len(spikes) or not spikes.size:
        raise ModelError(f"expected spikes as example, line, step and a label for each, found {spikes.shape} and {labels.shape}")
    if spikes.min() < 0 or spikes.max() > 1:
        raise ModelError(f"spikes: expected 0 and 1, found {spikes.min()} to {spikes.max()}")
    if labels.min() < HELD_BACK or labels.max() > np.iinfo(np.int16).max:
        raise ModelError(f"labels: expected {HELD_BACK} or more, found {labels.min()} to {labels.max()}")
    return Examples(words=pack(spikes.astype(np.bool_).transpose(2, 0, 1)), labels=labels.astype(np.int16))
