"""
The state of the rules of one device at one moment, in `SIZE` bytes: going on from it gives what going on from the original does.

Of the rule of new peers there is none: whom it knows and whom it met today are up to 5 KiB, more than a state of evidence may be.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from spikebridge_detectors.elapsed import MOST_TIME_NS, SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.rules import Running, ewma, rate, silence
from spikebridge_detectors.rules.clock import Clock
from spikebridge_detectors.rules.windows import Count

FORMAT = 1
_LAYOUT = struct.Struct("<BBqqI dqq dBqqB ddd BqqqB")
SIZE = _LAYOUT.size

_MOST = 1 << 62
_HIGHEST = 64.0
"""The logarithm of how many packets there can be is less, and so is its mean."""


class _State(NamedTuple):
    """The clock; then of `rate` what is normal and the window; of `silence` the same and the last packet; of `ewma` the same, the average, and the minute that isn't over."""

    form: int
    begun: int
    last_ns: int
    second: int
    part_ns: int

    rate_most: float
    rate_window: int
    rate_events: int

    longest_s: float
    heard: int
    heard_ns: int
    heard_second: int
    told: int

    ewma_most: float
    mean: float
    var: float
    within: int
    window: int
    packets: int
    ends_ns: int
    silent: int


def pack(running: Running) -> bytes:
    """Return all that alarms of the rules from here on come from."""
    match running.watches:
        case (rate.Watching() as counts, silence.Watching() as waits, ewma.Watching() as averages):
            clock = running.clock
        case _:
            raise ModelError("rules: expected rate, silence and ewma in this order, found others")
    state = _State(
        form=FORMAT,
        begun=clock.last_ns is not None,
        last_ns=clock.last_ns or 0,
        second=clock.second,
        part_ns=clock.part_ns,
        rate_most=counts.learned.most,
        rate_window=counts.count.window,
        rate_events=counts.count.events,
        longest_s=waits.learned.longest_s,
        heard=waits.last_second is not None,
        heard_ns=waits.last_ns,
        heard_second=waits.last_second or 0,
        told=waits.told,
        ewma_most=averages.most,
        mean=averages.average.mean,
        var=averages.average.var,
        within=averages.window is not None,
        window=averages.window or 0,
        packets=averages.packets,
        ends_ns=min(averages.ends_ns, MOST_TIME_NS),
        silent=averages.silent,
    )
    return _LAYOUT.pack(*state)


def unpack(data: bytes) -> Running:
    """Return what `pack` was given; refuse what no device comes to."""
    if len(data) != SIZE or data[0] != FORMAT:
        raise ModelError(f"state: expected {SIZE} bytes of format {FORMAT}, found {len(data)} of {data[:1].hex() or 'none'}")
    state = _State._make(_LAYOUT.unpack(data))
    _check(state)
    counts = rate.Watching(rate.Rate(state.rate_most), Count(state.rate_window, state.rate_events))
    heard = state.heard_second if state.heard else None
    waits = silence.Watching(silence.Silence(state.longest_s), state.heard_ns, heard, bool(state.told))
    average = ewma.Average(state.mean, state.var)
    window = state.window if state.within else None
    averages = ewma.Watching(state.ewma_most, average, window, state.packets, state.ends_ns, bool(state.silent))
    clock = Clock(state.last_ns if state.begun else None, state.second, state.part_ns)
    running = Running((counts, waits, averages), clock)
    if pack(running) != data:
        raise ModelError("state: expected it as it is written here, found another form of it")
    return running


def _check(state: _State) -> None:
    good = {
        "second": 0 <= state.second <= _MOST,
        "part_ns": 0 <= state.part_ns < SECOND_NS,
        "rate_most": 0 < state.rate_most < _MOST,
        "rate_window": -1 <= state.rate_window <= _MOST,
        "rate_events": 0 <= state.rate_events <= _MOST,
        "longest_s": state.longest_s > 0,
        "heard_second": 0 <= state.heard_second <= state.second,
        "ewma_most": 0 < state.ewma_most < math.inf,
        "mean": 0 <= state.mean < _HIGHEST,
        "var": 0 <= state.var < _HIGHEST * _HIGHEST,
        "window": 0 <= state.window <= _MOST,
        "packets": 0 <= state.packets <= _MOST,
    }
    for name, right in good.items():
        if not right:
            raise ModelError(f"state: {name}: expected what a device can come to, found {getattr(state, name)}")
