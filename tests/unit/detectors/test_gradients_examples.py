"""Files of examples: read when they are what they claim to be, refused before anything large is taken."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.raster import unpack
from spikebridge_detectors.train.gradients.examples import held_back, read
from spikebridge_detectors.train.gradients.plan import HELD_BACK, Examples

if TYPE_CHECKING:
    from pathlib import Path

SPIKES = np.random.default_rng(1).integers(0, 2, (4, 3, 40), dtype=np.uint8)
LABELS = np.array([0, -1, -2, 1])


def test_spikes_come_back_packed_with_their_labels(tmp_path: Path) -> None:
    """Silent steps fill the last word."""
    np.savez_compressed(tmp_path / "few.npz", spikes=SPIKES, labels=LABELS)
    found = read(tmp_path / "few.npz")

    assert found.labels.tolist() == [0, -1, -2, 1]
    back = unpack(found.words).transpose(1, 2, 0)
    assert np.array_equal(back[..., :40], SPIKES.astype(np.bool_))
    assert not back[..., 40:].any()


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"spikes": SPIKES}, "expected the arrays labels and spikes, found spikes"),
        (
            {"spikes": SPIKES, "labels": LABELS, "more": LABELS},
            "expected the arrays labels and spikes, found labels, more, spikes",
        ),
        ({"spikes": SPIKES[0], "labels": LABELS}, "expected spikes as example, line, step"),
        ({"spikes": SPIKES, "labels": LABELS[:3]}, "a label for each"),
        ({"spikes": SPIKES * 2, "labels": LABELS}, "spikes: expected 0 and 1, found 0 to 2"),
        ({"spikes": SPIKES * 0.5, "labels": LABELS}, "expected whole numbers row by row, found float64"),
        ({"spikes": SPIKES, "labels": LABELS - 1}, "labels: expected -2 or more, found -3"),
        ({"spikes": SPIKES, "labels": np.full(4, 1 << 40)}, "labels: expected -2 or more"),
        ({"spikes": SPIKES[:0], "labels": LABELS[:0]}, "expected spikes as example, line, step"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], expected: str) -> None:
    """With what was found."""
    np.savez(tmp_path / "few.npz", **arrays)
    with pytest.raises(ModelError, match=expected):
        read(tmp_path / "few.npz")


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    """Whoever wrote the file would run what they like."""
    np.savez(tmp_path / "few.npz", spikes=np.array([{}], dtype=object), labels=LABELS)
    with pytest.raises(ModelError, match="expected whole numbers row by row, found object"):
        read(tmp_path / "few.npz")


def test_a_header_that_claims_more_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    """A terabyte in a file of some hundred bytes; and an archive whose entries unpack to more than is read."""
    claimed = io.BytesIO()
    np.lib.format.write_array_header_1_0(claimed, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 1 << 10, 1 << 10)})
    with zipfile.ZipFile(tmp_path / "few.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("spikes.npy", claimed.getvalue())
        archive.writestr("labels.npy", b"")
    with pytest.raises(ModelError, match=r"spikes.npy: expected 1,099,511,627,776 bytes, as its header says, found others"):
        read(tmp_path / "few.npz")
    with zipfile.ZipFile(tmp_path / "few.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.npy", b"")
        with archive.open("spikes.npy", "w") as file:
            for _ in range(257):
                file.write(bytes(1 << 20))
    with pytest.raises(ModelError, match="expected at most 268,435,456 bytes of arrays, found 269,484,032"):
        read(tmp_path / "few.npz")


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06", b"\x93NUMPY\x01\x00", bytes(300)])
def test_what_is_no_archive_is_said(tmp_path: Path, data: bytes) -> None:
    """Whatever it is."""
    (tmp_path / "few.npz").write_bytes(data)
    with pytest.raises(ModelError, match=r"expected arrays as numpy\.savez writes them, found none"):
        read(tmp_path / "few.npz")


def test_a_share_is_held_back_by_the_seed(tmp_path: Path) -> None:
    """Of those that may be learned from, the same for the same seed; those held back already stay so."""
    examples = Examples(words=np.zeros((100, 1, 1), np.uint32), labels=np.arange(-2, 98).astype(np.int16))
    some, held = held_back(examples, 0.25, 7)

    assert (held.sum(), (some.labels == HELD_BACK).sum()) == (24, 25)
    assert (some.labels[~held] == examples.labels[~held]).all()
    assert (held_back(examples, 0.25, 7)[1] == held).all()
    assert (held_back(examples, 0.25, 8)[1] != held).any()
