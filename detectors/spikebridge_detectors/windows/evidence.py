"""
The evidence of one odd window: its samples, and what its first sample is compared with.

Power and rf compare with nothing before a window. Vibration carries, of each channel, both references on their lattices, the last sample and
the last move. What was learned isn't in the file: the model is known by its digest, and is one that ships or lies beside the evidence.

    0  1  format, 1
    1  1  channels, c
    2  1  whether anything is carried
    3     for each channel, if so: both references (1 byte each), last sample and last move (8 bytes each)
          for each channel its name, UTF-8 behind a byte with its length

At most 3 + 16 * (18 + 65) = 1,331 bytes.
"""

from __future__ import annotations

import struct
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikebridge_detectors.capture.series import Samples
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evidence import MOST_BYTES, Said
from spikebridge_detectors.model import container
from spikebridge_detectors.model.file import opened
from spikebridge_detectors.shipped.pins import PINS, shipped
from spikebridge_detectors.vibration.encode import MOST_CHANNELS, MOVES, Moved
from spikebridge_detectors.windows import detector
from spikebridge_detectors.windows.bins import encode
from spikebridge_detectors.windows.encoder import Encoder, encoder_of
from spikebridge_detectors.windows.surprise import surprises

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.evidence import Evidence
    from spikebridge_detectors.model.file import Model

FORMAT = 1
MOST_NAME = 64
MOST_INPUT = MOST_BYTES - (1 << 14)
"""So much of a file may be samples."""

_START = struct.Struct("<BBB")
_CARRIED = np.dtype([("references", "u1", (len(MOVES),)), ("last", "<f8"), ("move", "<f8")])


class Start(NamedTuple):
    """What a window begins with, and what its channels are called."""

    names: tuple[str, ...]
    moved: Moved


class Seen(NamedTuple):
    """One window again: its columns [column], the line of each, how often each pair's neurons fire, and the alarm that it is."""

    model: Model
    encoder: Encoder
    start: Start
    samples: Samples
    values: NDArray[np.float64]
    lines: NDArray[np.int64]
    fired: NDArray[np.int64]
    alarms: list[Alarm]


def pack(start: Start) -> bytes:
    """Return what a window begins with; names are cut to 64 bytes."""
    last, move = start.moved.last, start.moved.move
    carried = np.zeros(0 if last is None else len(start.names), _CARRIED)
    if last is not None:
        carried["references"] = np.stack([one for one in start.moved.references if one is not None], axis=1)
        carried["last"], carried["move"] = last, move
    names = [_cut(name) for name in start.names]
    return (
        _START.pack(FORMAT, len(names), last is not None)
        + carried.tobytes()
        + b"".join(bytes([len(name)]) + name for name in names)
    )


def unpack(state: bytes) -> Start:
    """Return what `pack` was given; refuse what no series comes to."""
    form, channels, begun = _START.unpack_from(state) if len(state) >= _START.size else (0, 0, 0)
    if form != FORMAT or not 1 <= channels <= MOST_CHANNELS or begun > 1:
        raise ModelError(
            f"state: expected format {FORMAT} of 1 to {MOST_CHANNELS} channels, found {state[:3].hex() or 'nothing'}"
        )
    end = _START.size + begun * channels * _CARRIED.itemsize
    if len(state) < end:
        raise ModelError(f"state: expected {end} bytes at least, found {len(state)}")
    carried: Any = np.frombuffer(state[_START.size : end], _CARRIED)
    tops = [code.top for code in MOVES]
    if (carried["references"] > tops).any():
        raise ModelError(f"state: references: expected at most {tops}, found {carried['references'].max(axis=0).tolist()}")
    start = Start(_names(state[end:], channels), _moved(carried) if begun else Moved())
    if pack(start) != state:
        raise ModelError("state: expected it as it is written here, found another form of it")
    return start


def to_rows(time_ns: NDArray[np.int64], values: NDArray[np.float64]) -> bytes:
    """Return samples [sample, channel] as rows."""
    rows = np.empty(len(time_ns), row(values.shape[1]))
    rows["time_ns"], rows["values"] = time_ns, values
    return rows.tobytes()


def from_rows(data: bytes, channels: int) -> Samples:
    """Return rows as samples of so many channels."""
    size = row(channels).itemsize
    if len(data) % size or len(data) > MOST_INPUT:
        raise ModelError(f"input: expected rows of {size} bytes, {MOST_INPUT:,} bytes at most, found {len(data):,} bytes")
    rows = np.frombuffer(data, row(channels))
    return Samples(rows["time_ns"].astype(np.int64), rows["values"].astype(np.float64), [""] * len(rows))


def row(channels: int) -> np.dtype[Any]:
    """Return what a sample is: its time, and a number for each channel."""
    return np.dtype([("time_ns", "<i8"), ("values", "<f8", (channels,))])


def model_of(said: Said, folder: Path) -> Model:
    """Return the model that evidence names: one that ships, or the one beside it, whose digest says that it is the same."""
    name = next((name for name, digest in PINS.items() if digest == said.model), None)
    if name:
        return opened(shipped(name))
    path = beside(folder, said.model)
    if not path.is_file():
        raise ModelError(f"expected the model of digest {said.model[:16]} beside the evidence as {path.name}, found none")
    model = opened(container.read(path))
    if model.digest != said.model:
        raise ModelError(f"{path.name}: expected a model of digest {said.model[:16]}, found {model.digest[:16]}")
    return model


def beside(folder: Path, digest: str) -> Path:
    """Return where the model of a digest lies beside evidence."""
    return folder / f"{digest[:16]}.spike"


def seen(evidence: Evidence, model: Model) -> Seen:
    """Return the window of evidence once more."""
    said, start = evidence.said, unpack(evidence.state)
    if model.header.encoder.name != said.detector:
        raise ModelError(f"{model.header.name}: expected a model of {said.detector}, found one of {model.header.encoder.name}")
    encoder = encoder_of(model)
    if len(start.names) != encoder.channels or (start.moved.last is not None and not encoder.carries):
        raise ModelError(f"state: expected what {said.detector} of {encoder.channels} channels carries, found something else")
    samples = from_rows(evidence.input, encoder.channels)
    values = encoder.measured(samples.values, deepcopy(start.moved))
    lines = encode(encoder.learned.edges, values)
    fired = surprises(encoder.learned.habits, lines)
    alarms = detector.scan(encoder.learned, values, samples.time_ns[-1:])
    return Seen(model, encoder, start, samples, values[0], lines[0], fired[0], alarms)


def _moved(carried: Any) -> Moved:
    references = [carried["references"][:, number].astype(np.int32) for number in range(len(MOVES))]
    return Moved(list(references), carried["last"].astype(np.float64), carried["move"].astype(np.float64))


def _names(data: bytes, channels: int) -> tuple[str, ...]:
    names = []
    for _ in range(channels):
        length = data[0] if data else 0
        try:
            names.append(data[1 : 1 + length].decode())
        except UnicodeDecodeError as error:
            raise ModelError(f"state: names: {error}") from error
        data = data[1 + length :]
    return tuple(names)


def _cut(name: str) -> bytes:
    return name.encode(errors="replace")[:MOST_NAME].decode(errors="ignore").encode()
