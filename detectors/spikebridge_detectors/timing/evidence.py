"""
A device's state at one moment, in `SIZE` bytes: going on from it gives, bit for bit, what going on from the original does.

Whatever the device did, the size is the same. Only what can't matter any more is left out: of a second that isn't over the surprises
beyond those that are counted, and of the synapses what is too long ago. Each is in one of 12,601 states, for which 14 bits suffice:

    it surprised less than half an hour ago          1,800    an alarm would tell it
    it was told, and isn't news yet                 10,800    until the three hours are over
    neither                                              1

Never both: what is told doesn't surprise until that ends, and what it surprised before is then longer ago than the half hour.
The pair of all that wasn't learned is never told, so its synapses need none of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spikebridge_detectors.capture.columns import Transport
from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.lif import UNIT
from spikebridge_detectors.timing.detector import CELLS, GOES_ON, TOLD_BEFORE, TOLD_EACH, TOLD_FOR, Occasion, Running
from spikebridge_detectors.timing.learning import Learned
from spikebridge_detectors.timing.marks import BINS, COMMON, MARKS, OTHER_PAIR, PAIRS, Alphabet, Seen
from spikebridge_detectors.timing.surprise import Habits
from spikebridge_detectors.timing.ticks import COUNTERS, MOST_COUNT, Held, Thresholds, Tick

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FORMAT = 1
_WEIGHT_BITS, _PAIR_BITS, _CELL_BITS = 7, 6, 14
_TELLS = np.flatnonzero(np.arange(CELLS) // BINS % PAIRS != OTHER_PAIR)
_NEITHER = TOLD_BEFORE
_NONE = 255
_MOST_SECOND = 1 << 62
_BEHIND = DAY_NS // SECOND_NS + 2
"""So many seconds the timer may lag behind the clock: no gap counts for more than a day."""
_TOP = (1 << 23) - 1
_AHEAD = 3
"""Steps are counted back from so many behind the clock's second, after which a neuron fires two steps later at most."""

_GOES_ON = GOES_ON + _AHEAD - 1
"""An occasion whose neuron fired before that is over, whatever comes."""

STATE = np.dtype(
    [
        ("format", "u1"),
        ("kinds", "u1"),
        ("common", "<u4", (COMMON,)),
        ("used", "<u2"),
        ("pairs", "u1", (MARKS * MARKS * _PAIR_BITS // 8,)),
        ("weights", "u1", (2 * PAIRS * BINS * _WEIGHT_BITS // 8,)),
        ("expected", "u1"),
        ("thresholds", "<u4", (len(Thresholds._fields),)),
        ("mark", "i1", (len(Transport),)),
        ("last", "<i8", (len(Transport),)),
        ("own", "<i8", (MARKS,)),
        ("met", "<u2"),
        ("counters", "<i4", (len(COUNTERS),)),
        ("counted", "<i8"),
        ("block", "<i4"),
        ("blocked", "<i8"),
        ("timer", "<i4"),
        ("timed", "<i8"),
        ("hold", "u1"),
        ("heard", "<i8"),
        ("begun", "u1"),
        ("last_ns", "<i8"),
        ("second", "<i8"),
        ("part_ns", "<u4"),
        ("surprises", "u1"),
        ("device", "<i4"),
        ("known_ends", "u1"),
        ("ends", "<i8", (2,)),
        ("fired", "<u2", (len(Thresholds._fields),)),
        ("told", "<u2", (len(Thresholds._fields),)),
        ("again", "u1"),
        ("cells", "u1", (len(_TELLS) * _CELL_BITS // 8,)),
    ]
)
SIZE = STATE.itemsize


def pack(learned: Learned, running: Running) -> bytes:
    """Return all that alarms from here on come from."""
    said = np.zeros((), STATE)
    said["format"] = FORMAT
    _put_learned(said, learned)
    _put_seen(said, running.seen)
    _put_held(said, running.held)
    _put_clock(said, running)
    _put_occasions(said, running)
    said["cells"] = _packed(_cells(running), _CELL_BITS)
    _check(said)
    return said.tobytes()


def unpack(state: bytes) -> tuple[Learned, Running]:
    """Return what `pack` was given, but for what can't matter any more; refuse what no device comes to."""
    if len(state) != SIZE or state[0] != FORMAT:
        raise ModelError(f"state: expected {SIZE} bytes of format {FORMAT}, found {len(state)} of {state[:1].hex() or 'none'}")
    said = np.frombuffer(state, STATE)[0]
    _check(said)
    learned = _learned(said)
    second, tick = int(said["second"]), int(said["surprises"])
    running = Running(
        seen=Seen(
            said["mark"].astype(np.int64), said["last"].astype(np.int64), said["own"].astype(np.int64), _flags(said["met"])
        ),
        held=_held(said, learned.thresholds),
        last_ns=int(said["last_ns"]) if said["begun"] else None,
        elapsed_ns=second * SECOND_NS + int(said["part_ns"]),
        tick=None if tick == _NONE else Tick(second, tick),
        device=int(said["device"]),
        ended_ns=_ended(said),
        occasions=_occasions(said),
    )
    _put_cells(running, _unpacked(said["cells"], _CELL_BITS), second)
    return learned, running


def _put_learned(said: Any, learned: Learned) -> None:
    common = learned.alphabet.common
    if len(common) > COMMON or (len(common) and not 0 <= common.min() <= common.max() < 1 << 32):
        raise ModelError(f"alphabet: expected at most {COMMON} kinds of 32 bits, found {common.tolist()}")
    said["kinds"] = len(common)
    said["common"][: len(common)] = common
    said["used"] = _word(learned.alphabet.used)
    said["pairs"] = _packed(learned.alphabet.pairs.ravel(), _PAIR_BITS)
    said["weights"] = _packed(np.stack((learned.habits.gap, learned.habits.own)).ravel() >> 1, _WEIGHT_BITS)
    said["expected"] = learned.habits.expected
    said["thresholds"] = learned.thresholds


def _learned(said: Any) -> Learned:
    common = said["common"][: said["kinds"]].astype(np.int64)
    pairs = _unpacked(said["pairs"], _PAIR_BITS).reshape(MARKS, MARKS)
    if pairs.max() > OTHER_PAIR:
        raise ModelError(f"state: pairs: expected 0 to {OTHER_PAIR}, found {pairs.max()}")
    gap, own = 2 * _unpacked(said["weights"], _WEIGHT_BITS).reshape(2, PAIRS, BINS)
    habits = Habits(gap, own, int(said["expected"]))
    thresholds = Thresholds._make(said["thresholds"].tolist()).checked()
    return Learned(Alphabet(common, _flags(said["used"]), pairs), habits, thresholds)


def _put_seen(said: Any, seen: Seen) -> None:
    """Put last times, but for those that were never set."""
    said["mark"] = seen.mark
    said["last"] = np.where(seen.mark >= 0, seen.last, 0)
    said["own"] = np.where(seen.met, seen.own, 0)
    said["met"] = _word(seen.met)


def _put_held(said: Any, held: Held) -> None:
    said["counters"] = [held.counters[name] for name in COUNTERS]
    for name in ("counted", "block", "blocked", "timer", "timed", "heard"):
        said[name] = getattr(held, name)
    said["hold"] = 0 if held.hold is None else held.hold - held.timed


def _held(said: Any, thresholds: Thresholds) -> Held:
    timed, timer = int(said["timed"]), int(said["timer"])
    if not -_TOP <= timer <= thresholds.silence * UNIT:
        raise ModelError(f"state: timer: expected at most its threshold, found {timer}")
    return Held(
        counters=dict(zip(COUNTERS, said["counters"].tolist(), strict=True)),
        counted=int(said["counted"]),
        block=int(said["block"]),
        blocked=int(said["blocked"]),
        timer=timer,
        timed=timed,
        hold=timed + int(said["hold"]) if said["hold"] else None,
        heard=int(said["heard"]),
    )


def _put_clock(said: Any, running: Running) -> None:
    """Put the clock, the second that isn't over, and when the two seconds ended after which a neuron may still fire."""
    second, part = divmod(running.elapsed_ns, SECOND_NS)
    if running.tick is not None and running.tick.second != second:
        raise ModelError(f"state: expected the second that isn't over to be {second}, found {running.tick.second}")
    said["begun"] = running.last_ns is not None
    said["last_ns"] = running.last_ns or 0
    said["second"], said["part_ns"] = second, part
    said["surprises"] = _NONE if running.tick is None else min(running.tick.surprises, MOST_COUNT)
    said["device"] = running.device
    for bit, at in enumerate((running.held.heard, second)):
        if at in running.ended_ns:
            said["known_ends"] |= 1 << bit
            said["ends"][bit] = running.ended_ns[at]


def _ended(said: Any) -> dict[int, int]:
    known = enumerate(zip((said["heard"], said["second"]), said["ends"], strict=True))
    return {int(at): int(end) for bit, (at, end) in known if said["known_ends"] >> bit & 1}


def _put_occasions(said: Any, running: Running) -> None:
    """Put how long ago each neuron fired and was told, 0 where that is over, and which were told again."""
    behind = running.elapsed_ns // SECOND_NS + _AHEAD
    for number, name in enumerate(Thresholds._fields):
        occasion = running.occasions.get(name)
        if occasion is not None and behind - occasion.last <= _GOES_ON:
            said["fired"][number], said["told"][number] = behind - occasion.last, behind - occasion.told
            said["again"] |= occasion.again << number


def _occasions(said: Any) -> dict[str, Occasion]:
    behind = int(said["second"]) + _AHEAD
    back = enumerate(zip(Thresholds._fields, said["fired"].tolist(), said["told"].tolist(), strict=True))
    return {
        name: Occasion(behind - fired, behind - told, again=bool(said["again"] >> number & 1))
        for number, (name, fired, told) in back
        if fired
    }


def _cells(running: Running) -> NDArray[np.int64]:
    """Return the state of each synapse: seconds since it surprised, or until what it told is news again, behind all of those."""
    second = running.elapsed_ns // SECOND_NS
    since = second - running.surprised[_TELLS]
    until = running.told[_TELLS] - second
    recent, told = since < TOLD_BEFORE, until > 0
    if since.min() < 0 or until.max() > TOLD_FOR or (told & (since < TOLD_BEFORE - until)).any():
        raise ModelError("state: expected synapses that don't surprise while they are told, found others")
    return np.where(told, _NEITHER + until, np.where(recent, since, _NEITHER))


def _put_cells(running: Running, code: NDArray[np.int64], second: int) -> None:
    if code.max() > _NEITHER + TOLD_FOR or ((code < _NEITHER) & (code > second)).any():
        raise ModelError(
            f"state: cells: expected 0 to {_NEITHER + TOLD_FOR} and none before the first second, found {code.max()}"
        )
    running.surprised[:] = second - TOLD_BEFORE
    running.surprised[_TELLS] = second - np.minimum(code, _NEITHER)
    running.told[_TELLS] = np.where(code > _NEITHER, second + code - _NEITHER, 0)


def _check(said: Any) -> None:
    for name, good in _checks(said):
        if not good:
            raise ModelError(f"state: {name}: expected what a device can come to, found {said[name].tolist()}")


def _checks(said: Any) -> Iterator[tuple[str, bool]]:
    """Yield each field, and whether it holds what a device can come to."""
    second = int(said["second"])
    held = {"counted": (0, second), "blocked": (0, second + 2), "heard": (0, second), "timed": (second - _BEHIND, second + 1)}
    ranges = {
        **held,
        "kinds": (0, COMMON),
        "mark": (-1, MARKS - 1),
        "counters": (0, _TOP),
        "block": (0, _TOP),
        "hold": (0, 2),
        "begun": (0, 1),
        "second": (0, _MOST_SECOND if said["begun"] else 0),
        "part_ns": (0, SECOND_NS - 1 if said["begun"] else 0),
        "device": (0, (1 << 31) - 1),
        "known_ends": (0, 3),
    }
    for name, (low, high) in ranges.items():
        yield name, bool((said[name] >= low).all() and (said[name] <= high).all())
    fired, told = said["fired"].astype(np.int64), said["told"].astype(np.int64)
    again = (int(said["again"]) >> np.arange(len(fired)) & 1).astype(np.bool_)
    most = np.where(again, TOLD_EACH, GOES_ON)
    yield "fired", bool((fired <= min(_GOES_ON, second + _AHEAD)).all())
    yield (
        "told",
        bool((np.where(fired > 0, (told >= fired) & (told - fired < most), told == 0) & (told <= second + _AHEAD)).all()),
    )
    yield "again", bool(said["again"] >> len(fired) == 0 and not (again & (fired == 0)).any())
    yield "timed", bool(said["timed"] >= -1)
    yield "common", not said["common"][said["kinds"] :].any()
    yield "last", not said["last"][said["mark"] < 0].any()
    yield "own", not said["own"][~_flags(said["met"])].any()
    yield "last_ns", bool(said["begun"] or not said["last_ns"])
    yield "surprises", bool(said["surprises"] <= MOST_COUNT or said["surprises"] == _NONE)


def _packed(values: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Return the lowest bits of each value, one value behind another."""
    return np.packbits((values[:, np.newaxis] >> np.arange(bits) & 1).astype(np.uint8), bitorder="little")


def _unpacked(octets: NDArray[np.uint8], bits: int) -> NDArray[np.int64]:
    held = np.unpackbits(octets, bitorder="little").reshape(-1, bits).astype(np.int64)
    found: NDArray[np.int64] = held @ (1 << np.arange(bits))
    return found


def _word(flags: NDArray[np.bool_]) -> int:
    return int(flags.astype(np.int64) @ (1 << np.arange(MARKS)))


def _flags(word: int) -> NDArray[np.bool_]:
    return (int(word) >> np.arange(MARKS) & 1).astype(np.bool_)
