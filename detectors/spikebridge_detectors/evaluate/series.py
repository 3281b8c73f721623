"""How well the detectors of power, vibration and rf tell attacks and faults from normal windows, beside an isolation forest of the same columns."""

from __future__ import annotations

import math
import zipfile
from contextlib import contextmanager
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikebridge_detectors.capture.frames import Passed
from spikebridge_detectors.capture.series import Columns, SeriesSource
from spikebridge_detectors.errors import CaptureError, ModelError
from spikebridge_detectors.evaluate.forest import grow
from spikebridge_detectors.evaluate.report import escaped
from spikebridge_detectors.model.file import opened
from spikebridge_detectors.power.detector import Power
from spikebridge_detectors.rf.detector import Rf
from spikebridge_detectors.shipped.pins import shipped
from spikebridge_detectors.shipped.windows import HELD_OUT, RADIO_SAMPLES, RADIO_TRIED, RADIOS
from spikebridge_detectors.traffic.series import RF_WRONG, rf
from spikebridge_detectors.vibration.detector import Vibration
from spikebridge_detectors.windows import detector
from spikebridge_detectors.windows.encoder import encoder_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from spikebridge_detectors.windows.detector import Learned

    Tell = Callable[[str], None]
    Measuring = Callable[[Path], AbstractContextManager[None]]
    """What a file is measured within."""

    Signal = tuple[NDArray[np.float64], NDArray[np.bool_]]
    """Samples, and which of them are of a fault."""

_SEED = 20_261_121
_POWER = "power/*.csv.gz"
_BENIGN = "0"
_ATTACKS = {"1": "DoS", "2": "cryptojacking", "3": "backdoor", "4": "scan"}
_MEASURED = tuple(
    f"{name}_{what}" for name in ("shunt_v", "bus_v", "current_ma", "power_mw") for what in ("mean", "var", "range")
)
_CHANNELS = (
    *(f"{name} {axis}" for name in ("AngVel", "LinAcc.") for axis in "xyz"),
    "Audio",
    "Strain Gage",
    "Shaft Control Effort",
)
_HEALTH = "Binary Macro Health Mode"
_FAULTS = {"v": "added vibration", "n": "lateral load", "d": "damping"}
_RADIO = dict(
    zip(
        RF_WRONG,
        (
            "frames by a timer",
            "no fading, no ripple",
            "noise a third of the time",
            "a second transmitter",
            "4 dB louder",
            "its own recording",
        ),
        strict=True,
    )
)
_HELD_BACK = 2
_SMOOTH = (3, 5, 9)
SERIES = "<!-- series -->"
"""Where a page has these tables."""


class Judged(NamedTuple):
    """One kind against normal windows: AUC of the network and the forest, and shares told at the threshold set beforehand."""

    kind: str
    auc: float
    forest: float
    found: float
    false: float


def measured(folder: Path, tell: Tell) -> dict[str, Any]:
    """Return a row for each kind of attack or fault of the files that are there; `tell` hears what is done next, and what isn't."""
    found = list[dict[str, Any]]()
    expected = (_POWER, "vibration/rosa_h_*.csv.gz", "vibration/cwru_*.npz")
    power, healthy, bearings = (sorted(folder.glob(pattern)) for pattern in expected)
    if not (power or healthy or bearings):
        raise CaptureError(f"{folder}: expected {', '.join(expected[:-1])} or {expected[-1]}, found none")
    for pattern in (pattern for pattern, files in zip(expected, (power, healthy, bearings), strict=True) if not files):
        tell(f"not measured: {folder}: expected {pattern} too, found none")
    unfit: dict[str, None] = {}

    @contextmanager
    def measuring(path: Path) -> Iterator[None]:
        """Go on without a file that isn't fit, and tell so once."""
        try:
            with _located(path):
                yield
        except CaptureError as error:
            if str(error) not in unfit:
                tell(f"not measured: {error}")
            unfit[str(error)] = None

    for path in power:
        tell("windows of power")
        with measuring(path):
            found += _rows("power, 20 samples" if len(power) == 1 else f"{path.name}, 20 samples", [list(_power(path))])
    if healthy:
        tell(f"vibration of a rotor, {math.comb(len(healthy), _HELD_BACK)} splits")
        with measuring(folder / "vibration" / "rosa_*.csv.gz"):
            found += _rotor(healthy, tell, measuring)
    for length in (256, 1024) if bearings else ():
        tell(f"vibration of bearings, {length} samples")
        splits = []
        for path in bearings:
            with measuring(path):
                splits.append(list(_smoothed(path, length)))
        found += _rows(f"bearing, {length} samples", splits)
    if not found:
        raise CaptureError("\n".join(unfit))
    tell("windows of generated radios, of which no capture is known")
    return {"series": found + _rows("rf.spike on **generated** radios, 1,024 samples", list(_radios()))}


@contextmanager
def _located(path: Path) -> Iterator[None]:
    """Say of what can't be learned which file it is from."""
    try:
        yield
    except ModelError as error:
        raise CaptureError(f"{path}: {error}") from error


def auc(normal: NDArray[np.float64], odd: NDArray[np.float64]) -> float:
    """Return how often an odd window scores above a normal one; equal ones count half."""
    ordered = np.sort(normal)
    below = np.searchsorted(ordered, odd, "left") + np.searchsorted(ordered, odd, "right")
    return float(below.mean() / 2 / len(ordered))


def _power(path: Path) -> Iterator[Judged]:
    """Learn from the first half of what is benign, in the order of the file."""
    values, label = _table(path, _MEASURED, "label")
    benign = values[label == _BENIGN]
    half = len(benign) // 2
    odd = {_ATTACKS.get(number, f"label {number}"): values[label == number] for number in np.unique(label) if number != _BENIGN}
    if not odd or not len(benign):
        labels = ", ".join(np.unique(label))
        raise CaptureError(f"{path}: label: expected {_BENIGN} for what is benign, and others for attacks, found {labels}")
    yield from _judged(Power().learn_windows(benign[:half]), benign[:half], benign[half:], odd)


def _rotor(paths: Sequence[Path], tell: Tell, measuring: Measuring) -> list[dict[str, Any]]:
    """Learn from healthy files, two held back in turn; also judge faults against what is healthy within their own files."""
    healthy = []
    for path in paths:
        with measuring(path):
            healthy.append(_rosa(path)[0])
    if len(healthy) <= _HELD_BACK:
        raise ModelError(f"expected {_HELD_BACK + 1} healthy files (rosa_h_*) or more, found {len(healthy)}")
    files = {name: _faulty(paths[0].parent, letter, tell, measuring) for letter, name in _FAULTS.items()}
    bad = {name: [piece[odd] for piece, odd in some] for name, some in files.items() if some}
    good = {name: [piece[~odd] for piece, odd in some if (~odd).sum() >= Vibration().length] for name, some in files.items()}
    if not bad:
        raise ModelError("expected files with faults (rosa_v_*, rosa_n_* or rosa_d_*) too, found none")
    apart, within = [], []
    for held in combinations(range(len(healthy)), _HELD_BACK):
        one = Vibration()
        normal = [piece for at, piece in enumerate(healthy) if at not in held]
        well = one.learn(normal)

        def of(pieces: Sequence[NDArray[np.float64]], one: Vibration = one, scale: Any = well.scale) -> NDArray[np.float64]:
            return np.concatenate([one.measured(scale, piece) for piece in pieces])

        odd = {name: of(some) for name, some in bad.items()}
        learned = of(normal)
        apart.append(list(_judged(well.windows, learned, of([healthy[at] for at in held]), odd)))
        own = {name: of(good[name]) for name in odd if good[name]}
        within.append([row for name in own for row in _judged(well.windows, learned, own[name], {name: odd[name]})])
    return _rows("rotor, 64 samples", apart) + _rows("rotor, against the healthy part of the same files", within)


def _faulty(folder: Path, letter: str, tell: Tell, measuring: Measuring) -> list[Signal]:
    """Read the files of one fault; one without a window of it is told."""
    found: list[Signal] = []
    paths = sorted(folder.glob(f"rosa_{letter}_*.csv.gz"))
    if not paths:
        tell(f"not measured: {folder}: expected rosa_{letter}_*.csv.gz too, found none")
    for path in paths:
        with measuring(path):
            values, odd = _rosa(path)
            if odd.sum() < Vibration().length:
                raise CaptureError(f"{path}: expected a window of samples whose {_HEALTH} is A, found {odd.sum()} samples")
            found.append((values, odd))
    return found


def _rosa(path: Path) -> Signal:
    """Return samples, and which of them are of a fault."""
    values, health = _table(path, _CHANNELS, _HEALTH)
    if other := sorted({*health.tolist()} - {"H", "A"}):
        raise CaptureError(f'{path}: {_HEALTH}: expected H or A, found "{other[0]}"')
    return values, health == "A"


def _table(path: Path, columns: Sequence[str], label: str) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    with path.open("rb") as file:
        source = SeriesSource(file, str(path), Columns(tuple(columns), step_ns=1, label=label), strict=True)
        pieces = list(source)
    if source.passed[Passed.CUT_SHORT]:
        raise CaptureError(f"{path}: expected a whole file: {Passed.CUT_SHORT}")
    if not pieces:
        raise CaptureError(f"{path}: expected rows, found none")
    return np.concatenate([piece.values for piece in pieces]), np.array([one for piece in pieces for one in piece.labels])


def _smoothed(path: Path, length: int) -> Iterator[Judged]:
    """Learn from the first half of a file, and judge moving averages of the second against it as it is."""
    signal = _signal(path)
    first, second = np.split(signal, [len(signal) // 2])
    one = Vibration(length=length, every=length // 4)
    with _located(path):
        well = one.learn([first[:, np.newaxis]])
    odd = {
        f"moving average of {count}": one.measured(
            well.scale, np.convolve(second, np.ones(count) / count, "valid")[:, np.newaxis]
        )
        for count in _SMOOTH
    }
    normal = one.measured(well.scale, second[:, np.newaxis])
    yield from _judged(well.windows, one.measured(well.scale, first[:, np.newaxis]), normal, odd)


def _radios() -> Iterator[list[Judged]]:
    """Judge generated radios that had no part in it by the model that ships, each against itself as it is."""
    encoder, one = encoder_of(opened(shipped("rf.spike"))), Rf()
    if encoder.scale is None:
        raise ModelError("rf.spike: expected a scale, found none")
    scale = encoder.scale
    training = np.concatenate([one.measured(scale, rf(RADIO_SAMPLES, seed)) for seed in RADIOS])
    for seed in HELD_OUT:
        odd = {name: one.measured(scale, rf(RADIO_TRIED, seed, wrong)) for wrong, name in _RADIO.items()}
        yield list(_judged(encoder.learned, training, one.measured(scale, rf(RADIO_TRIED, seed)), odd))


def _signal(path: Path) -> NDArray[np.float64]:
    try:
        with path.open("rb") as file:
            signal = np.load(file)["de"]
    except (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise CaptureError(f"{path}: expected an array de: {error}") from error
    if signal.ndim != 1 or signal.dtype.kind not in "iuf" or not np.isfinite(signal).all():
        raise CaptureError(f"{path}: de: expected finite numbers in one dimension, found {signal.dtype} {signal.shape}")
    found: NDArray[np.float64] = signal.astype(np.float64)
    return found


def _judged(
    learned: Learned, training: NDArray[np.float64], normal: NDArray[np.float64], odd: dict[str, NDArray[np.float64]]
) -> Iterator[Judged]:
    if empty := [kind for kind, values in (odd | {"normal": normal}).items() if not len(values)]:
        raise ModelError(f"{empty[0]}: expected a window at least, found none")
    forest = grow(training, np.random.default_rng(_SEED))
    usual, rare = detector.scores(learned, normal), forest.scores(normal)
    for kind, values in odd.items():
        scores = detector.scores(learned, values)
        told = [_told(learned, some) for some in (values, normal)]
        yield Judged(kind, auc(usual, scores), auc(rare, forest.scores(values)), *told)


def _told(learned: Learned, values: NDArray[np.float64]) -> float:
    return len(detector.scan(learned, values, np.arange(len(values)))) / len(values)


def _rows(name: str, splits: list[list[Judged]]) -> list[dict[str, Any]]:
    """Return means over splits, and the lowest AUC of any."""
    found = []
    for same in zip(*splits, strict=True):
        mean = {field: round(float(np.mean([getattr(one, field) for one in same])), 3) for field in Judged._fields[1:]}
        lowest = {"lowest": round(min(one.auc for one in same), 3), "forest_lowest": round(min(one.forest for one in same), 3)}
        found.append({"data": name, "kind": same[0].kind, "splits": len(splits), **mean, **lowest})
    return found


def text(measured: dict[str, Any]) -> str:
    """Return the rows as a table for a reader."""
    measured = escaped(measured)
    lines = [
        "Windows of power, vibration and rf, learned from normal ones alone; AUC as a mean over splits, with the lowest of them:",
        "",
        "| windows | odd | network | isolation forest | told | told of normal |",
        "|---|---|---|---|---|---|",
    ]
    for row in measured["series"]:
        lowest, forest = (f" ({row[name]:.3f})" if row["splits"] > 1 else "" for name in ("lowest", "forest_lowest"))
        ours = f"{row['auc']:.3f}{lowest}" + (" **lost**" if row["auc"] < row["forest"] else "")
        shares = f"{row['found']:.1%} | {row['false']:.1%}"
        lines.append(f"| {row['data']} | {row['kind']} | {ours} | {row['forest']:.3f}{forest} | {shares} |")
    return "\n".join(lines) + "\n"
