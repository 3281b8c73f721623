"""Learning a class of devices from measured values, power, vibration or rf, and what it tells of quarters that were held back and changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors import plot
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.plot import Line, Span
from spikebridge_detectors.power import detector as power
from spikebridge_detectors.power.detector import Power
from spikebridge_detectors.train import page
from spikebridge_detectors.windows import detector, sums
from spikebridge_detectors.windows.bins import BINS, encode
from spikebridge_detectors.windows.encoder import KINDS
from spikebridge_detectors.windows.surprise import surprises
from spikebridge_detectors.windows.well import Well

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.capture.series import Samples
    from spikebridge_detectors.train.gather import Series
    from spikebridge_detectors.windows.detector import Learned
    from spikebridge_detectors.windows.well import Scaled

QUARTERS = 4
_AVERAGED = 5


class Settings(NamedTuple):
    """
    Power, vibration or rf, how large a share of normal windows may be told, and the windows' length and distance in samples.

    Windows of power have a length of their own; None is what is usual for the kind.
    """

    kind: str
    channels: tuple[str, ...]
    share: float = detector.SHARE
    length: int | None = None
    every: int | None = None

    @property
    def columns(self) -> list[str]:
        """Return what each number of a window is."""
        return [f"{channel}: {number}" for channel in self.channels for number in KINDS[self.kind].columns]

    @property
    def groups(self) -> list[int]:
        """Return which columns belong together: all of power, else those of a channel."""
        return KINDS[self.kind].groups(len(self.channels))

    @property
    def scaled(self) -> Scaled | None:
        """Return what learns and measures windows, but those of power."""
        usual = KINDS[self.kind].scaled
        if usual is None:
            return None
        length, every = (one if own is None else own for own, one in ((self.length, usual.length), (self.every, usual.every)))
        return replace(usual, length=length, every=every, share=self.share)


class Trial(NamedTuple):
    """How many windows of a quarter held back were told after a change, or without one."""

    change: str
    told: int
    windows: int


def louder(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Swing half as much again."""
    middle: NDArray[np.float64] = values.mean(axis=0)
    return middle + 1.5 * (values - middle)


def calmer(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Swing half as much."""
    middle: NDArray[np.float64] = values.mean(axis=0)
    return middle + 0.5 * (values - middle)


def shifted(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lie one deviation higher."""
    deviation: NDArray[np.float64] = values.std(axis=0)
    return values + deviation


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Be the average of five samples."""
    padded = np.concatenate((np.repeat(values[:1], _AVERAGED - 1, axis=0), values))
    averages: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(padded, _AVERAGED, axis=0).mean(axis=2)
    return averages


CHANGES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "unchanged": lambda values: values,
    "louder": louder,
    "calmer": calmer,
    "shifted": shifted,
    "smoothed": smoothed,
}
"""What is done to quarters that are held back; the windows that are told of the first are false alarms."""


def learn(pieces: Sequence[NDArray[np.float64]], settings: Settings) -> Learned | Well:
    """Return what pieces of recordings, [sample, channel], teach."""
    if settings.scaled:
        return settings.scaled.learn(pieces)
    return Power(settings.share).learn_windows(np.concatenate([power.measured(piece) for piece in pieces]))


def trials(recordings: Sequence[Samples], settings: Settings, tell: Callable[[str, int, int], None]) -> list[Trial]:
    """Hold back each quarter of all recordings in turn, learn from the others, and judge it unchanged and changed; none if too short."""
    found = {change: [0, 0] for change in CHANGES}
    for quarter in range(QUARTERS):
        tell("judging quarters held back", quarter, QUARTERS)
        held, rest = _cut(recordings, quarter)
        try:
            what = learn(rest, settings)
        except ModelError:
            return []
        for change, changed in CHANGES.items():
            for piece in held:
                lines = _lines(what, changed(piece), settings)
                found[change][0] += int(_told(what, lines).any(axis=1).sum())
                found[change][1] += len(lines)
    return [Trial(change, told, windows) for change, (told, windows) in found.items()]


def report(
    given: Series, what: Learned | Well, settings: Settings, facts: dict[str, str], tell: Callable[[str, int, int], None]
) -> str:
    """Return the page of a training."""
    title = f"{settings.kind.capitalize()} of {facts['device class']}"
    found = trials(given.recordings, settings, tell)
    header = ("file", "samples", "channels")
    devices = [
        (file.name, f"{len(one.time_ns):,}", ", ".join(settings.channels))
        for file, one in zip(given.files, given.recordings, strict=True)
    ]
    said = page.Said(title, facts, given.files, header, devices, given.passed)
    sections = [("Found on quarters held back", _found(found)), *(_shown(given, settings) if found else [])]
    return page.written(said, [*sections, ("Learned weights", [_weights(what, settings)])])


def _cut(recordings: Sequence[Samples], quarter: int) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Return the quarter of each recording, and what is before and behind it."""
    held, rest = [], []
    for one in recordings:
        start, end = (len(one.values) * at // QUARTERS for at in (quarter, quarter + 1))
        held.append(one.values[start:end])
        rest += [piece for piece in (one.values[:start], one.values[end:]) if len(piece)]
    return held, rest


def _windows(what: Learned | Well) -> Learned:
    return what.windows if isinstance(what, Well) else what


def _lines(what: Learned | Well, values: NDArray[np.float64], settings: Settings) -> NDArray[np.int64]:
    numbers = (
        settings.scaled.measured(what.scale, values) if settings.scaled and isinstance(what, Well) else power.measured(values)
    )
    return encode(_windows(what).edges, numbers)


def _counts(what: Learned | Well, lines: NDArray[np.int64]) -> NDArray[np.int64]:
    habits = _windows(what).habits
    return sums.counted(habits.pairs, lines, surprises(habits, lines))


def _told(what: Learned | Well, lines: NDArray[np.int64]) -> NDArray[np.bool_]:
    return sums.told(_windows(what).thresholds, _counts(what, lines))


def _found(found: Sequence[Trial]) -> list[str]:
    if not found:
        return ["<p>Not measured: three quarters of these recordings are too short to learn from.</p>"]
    shares = [(one.change, one.told / max(one.windows, 1)) for one in found]
    said = (
        "<p>Each quarter of the recordings was held back in turn, learned from the others, and judged as it is and after changes of our own. "
        "What is told of the unchanged one is false alarms. Windows of one recording are alike: expect more false alarms on another day.</p>"
    )
    rows = [(one.change, f"{one.told:,}", f"{one.windows:,}") for one in found]
    return [
        said,
        plot.bars(shares, title="Windows that were told, by change", x="share of windows", most=1.0),
        page.table(("change", "told", "windows"), rows),
    ]


def _shown(given: Series, settings: Settings) -> list[tuple[str, Sequence[str]]]:
    """Return the last quarter of the first recording, its second half swinging more, as both layers saw it."""
    held, rest = _cut(given.recordings, QUARTERS - 1)
    first, what = given.recordings[0], learn(rest, settings)
    half = len(held[0]) // 2
    values = np.concatenate((held[0][:half], louder(held[0][half:])))
    lines = _lines(what, values, settings)
    length, every = (what.length, what.every) if isinstance(what, Well) else (power.WINDOW, 1)
    ends = np.arange(len(lines)) * every + length - 1
    time_ns = first.time_ns[-len(held[0]) :]
    seconds = (time_ns[ends] - time_ns[0]) / SECOND_NS
    spans = [Span("louder", float(time_ns[half] - time_ns[0]) / SECOND_NS, float(time_ns[-1] - time_ns[0]) / SECOND_NS)]
    counts, told, learned = _counts(what, lines), _told(what, lines), _windows(what)
    scores = [Line(name, seconds, counts[:, at] / max(1, learned.thresholds.vth[at])) for at, name in enumerate(sums.NEURONS)]
    spikes = surprises(learned.habits, lines)[:, : len(settings.columns)]
    fired = spikes > np.median(spikes, axis=0) + 1
    rows = [(f"layer 1: {name}", seconds[fired[:, at]]) for at, name in enumerate(settings.columns)]
    rows += [(f"layer 2: {name}", seconds[told[:, at]]) for at, name in enumerate(sums.NEURONS)]
    drawn = [
        plot.lines(
            scores,
            title="Layer 2: what each neuron counts",
            y="multiples of its threshold",
            levels=[("told above this", 1.0)],
            spans=spans,
        ),
        plot.raster(
            rows, title="Windows in which a number alone surprised more than usual, and windows that were told", spans=spans
        ),
    ]
    return [(f"The last quarter of {given.files[0].name}, held back, made louder in its second half", drawn)]


def _weights(what: Learned | Well, settings: Settings) -> str:
    held = _windows(what).habits.weights[: len(settings.columns), 0]
    names = ["far below", "below 1 %", *(f"{part}/8" for part in range(1, 9)), "above 99 %", "far above"]
    return plot.heat(
        held,
        title="Layer 1: what each number alone is expected to be",
        rows=settings.columns,
        columns=names[:BINS],
        unit="inhibition",
    )
