"""
The encoder: packets of one device become marks, pairs of marks and gaps, three lines of 64 for each packet.

    lines 0-39    which pair: the mark of the packet before it in the same protocol, and its own; 39 is every pair not learned
    lines 40-51   the gap to that packet, in log bins from 1 ms to 2 s; 51 holds all that is longer
    lines 52-63   the gap to the last packet of the same mark, in log bins from 50 ms to 4,000 s

A gap within one protocol, because two streams with a period of their own slide past each other and would look new for hours.
Times may fall or repeat: such a gap is 0, and the next one counts from there. Who the peer is isn't asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikebridge_detectors.capture.columns import Transport
from spikebridge_detectors.capture.kinds import codes, flag_class
from spikebridge_detectors.elapsed import gaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spikebridge_detectors.capture.columns import Packets

PAIRS = 40
BINS = 12
OTHER_PAIR = PAIRS - 1
LINES = PAIRS + 2 * BINS
COMMON = 6
"""So many marks are the device's own commonest kinds of packet; the others are the same for every device."""

_GENERIC = 5
MARKS = COMMON + 2 * _GENERIC
_NONE = -1
GAP_EDGES = np.geomspace(1e6, 2e9, BINS - 1).round().astype(np.int64)
OWN_EDGES = np.geomspace(5e7, 4e12, BINS - 1).round().astype(np.int64)
_LEAST_HOURS = 3


class Lines(NamedTuple):
    """What each packet sends into the network: a pair, and a bin of each gap; `new` is a mark not learned as the device's own."""

    pair: NDArray[np.int64]
    gap: NDArray[np.int64]
    own: NDArray[np.int64]
    new: NDArray[np.bool_]


class Steps(NamedTuple):
    """Of each packet its mark, the mark before it in its protocol or -1, the gap to that, and the gap to the last of its own mark."""

    mark: NDArray[np.int64]
    before: NDArray[np.int64]
    gap_ns: NDArray[np.int64]
    own_ns: NDArray[np.int64]


@dataclass(slots=True)
class Seen:
    """What the encoder remembers from piece to piece: a time and a mark for each protocol, a time for each mark."""

    mark: NDArray[np.int64] = field(default_factory=lambda: np.full(len(Transport), _NONE))
    last: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(Transport), np.int64))
    own: NDArray[np.int64] = field(default_factory=lambda: np.zeros(MARKS, np.int64))
    met: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(MARKS, np.bool_))


@dataclass(frozen=True, slots=True, eq=False)
class Alphabet:
    """The device's own kinds of packet: codes of its commonest, which marks it uses, and the line of each pair [before, mark]."""

    common: NDArray[np.int64]
    used: NDArray[np.bool_]
    pairs: NDArray[np.int64]


def _generic(packets: Packets) -> NDArray[np.int64]:
    """Return the mark of packets that are of no common kind: direction, and SYN, other TCP, UDP, ICMP or the rest."""
    kind = np.full(len(packets.transport), 4, np.int64)
    kind[packets.transport == Transport.ICMP] = 3
    kind[packets.transport == Transport.UDP] = 2
    kind[packets.transport == Transport.TCP] = 1
    kind[flag_class(packets) == 1] = 0
    return COMMON + 2 * kind + packets.outgoing


def marks(common: NDArray[np.int64], packets: Packets) -> NDArray[np.int64]:
    """Return the mark of each packet."""
    found = _generic(packets)
    code = codes(packets)
    for mark, kind in enumerate(common):
        found[code == kind] = mark
    return found


def learn_alphabet(packets: Packets, hour: NDArray[np.int64], part: NDArray[np.int64], learned: NDArray[np.bool_]) -> Alphabet:
    """
    Choose the marks and pairs from the packets that are `learned` from; `part` numbers the days of training.

    What is seen on one day alone counts for nothing, so that an attack on a day of training isn't learned.
    """
    kinds, which = np.unique(codes(packets), return_inverse=True)
    common = kinds[_commonest(_hours(which, hour, part, learned), COMMON, 1)]
    mark = marks(common, packets)
    used = np.zeros(MARKS, np.bool_)
    hours = _hours(mark, hour, part, learned)
    used[: len(hours)] = hours > 0
    before, _ = _previous(_protocols(packets), mark, packets.time_ns, Seen())
    inside = learned & (before != _NONE)
    best = _commonest(_hours(np.maximum(before, 0) * MARKS + mark, hour, part, inside), OTHER_PAIR, _LEAST_HOURS)
    pairs = np.full(MARKS * MARKS, OTHER_PAIR)
    pairs[best] = np.arange(len(best))
    return Alphabet(common, used, pairs.reshape(MARKS, MARKS))


def _hours(
    what: NDArray[np.int64], hour: NDArray[np.int64], part: NDArray[np.int64], learned: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return in how many hours each kind was seen, its best day left out."""
    parts, hours_all = int(part.max(initial=0)) + 1, int(hour.max(initial=0)) + 1
    seen = np.unique((what[learned] * parts + part[learned]) * hours_all + hour[learned]) // hours_all
    kinds = int(what.max(initial=-1)) + 1
    daily = np.bincount(seen, minlength=kinds * parts).reshape(kinds, parts)
    hours: NDArray[np.int64] = daily.sum(axis=1) - daily.max(axis=1)
    return hours


def _commonest(hours: NDArray[np.int64], most: int, least: int) -> NDArray[np.int64]:
    order = np.argsort(-hours, kind="stable")[:most]
    return order[hours[order] >= least]


def steps(common: NDArray[np.int64], packets: Packets, seen: Seen) -> Steps:
    """Return marks and gaps of a piece of one device's packets, and note in `seen` what the next piece needs."""
    mark = marks(common, packets)
    before, gap = _previous(_protocols(packets), mark, packets.time_ns, seen)
    return Steps(mark, before, gap, _own_gaps(mark, packets.time_ns, seen))


def encode(alphabet: Alphabet, packets: Packets, seen: Seen) -> Lines:
    """Return the lines of a piece of one device's packets, and note in `seen` what the next piece needs."""
    mark, before, gap, own = steps(alphabet.common, packets, seen)
    pair = np.where(before == _NONE, OTHER_PAIR, alphabet.pairs[np.maximum(before, 0), mark])
    return Lines(pair, _bins(GAP_EDGES, gap), _bins(OWN_EDGES, own), ~alphabet.used[mark])


def _protocols(packets: Packets) -> NDArray[np.int64]:
    return np.where(packets.transport < len(Transport), packets.transport, Transport.OTHER).astype(np.int64)


def _bins(edges: NDArray[np.int64], gap: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(edges, gap, side="right")


def _previous(
    protocol: NDArray[np.int64], mark: NDArray[np.int64], time_ns: NDArray[np.int64], seen: Seen
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each packet the mark before it in its protocol and the gap to it."""
    before, gap = np.empty_like(mark), np.empty_like(mark)
    for number in range(len(Transport)):
        at = np.flatnonzero(protocol == number)
        if not at.size:
            continue
        known = seen.mark[number] != _NONE
        before[at] = np.concatenate(([seen.mark[number]], mark[at[:-1]]))
        gap[at] = gaps(time_ns[at], int(seen.last[number]) if known else None)
        seen.mark[number], seen.last[number] = mark[at[-1]], time_ns[at[-1]]
    return before, gap


def _own_gaps(mark: NDArray[np.int64], time_ns: NDArray[np.int64], seen: Seen) -> NDArray[np.int64]:
    gap = np.empty_like(mark)
    for number in range(MARKS):
        at = np.flatnonzero(mark == number)
        if at.size:
            gap[at] = gaps(time_ns[at], int(seen.own[number]) if seen.met[number] else None)
            seen.own[number], seen.met[number] = time_ns[at[-1]], True
    return gap
