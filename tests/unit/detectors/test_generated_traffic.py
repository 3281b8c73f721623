"""Generated days and attacks: the same for a seed, bounded, and like what they say they are."""

from __future__ import annotations

import numpy as np
import pytest

from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.traffic.attacks import LASTS_S, attacked
from spikebridge_detectors.traffic.days import BEGIN_NS, MOST_DAYS, generated
from spikebridge_detectors.traffic.kinds import KINDS, SYN

START_NS = BEGIN_NS + 40_000 * SECOND_NS


def same(one: Packets, other: Packets) -> bool:
    """Say whether all columns are equal."""
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in Packets._fields)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_one_device(kind: str) -> None:
    """Its packets are the same each time, in the order of time and within its days; another seed is another device."""
    one = generated(kind, 2, 1)

    assert same(one, generated(kind, 2, 1))
    assert not same(one, generated(kind, 2, 2))
    assert (np.diff(one.time_ns) >= 0).all()
    assert BEGIN_NS <= one.time_ns[0] < one.time_ns[-1] < BEGIN_NS + 2 * DAY_NS
    assert {column.dtype.name for column in one} == {"int64", "int32", "bool", "uint8", "uint16", "uint32"}
    assert 2_000 < len(one.time_ns) / 2 < 200_000


def test_days_hold_outages_and_what_follows_them() -> None:
    """A lock speaks each minute; in a month its network is away now and then, and it connects anew."""
    packets = generated("lock", 31, 3)
    gaps_s = np.diff(packets.time_ns) / SECOND_NS

    assert 2 <= (gaps_s > 120).sum() <= 40
    assert gaps_s.max() < 1300
    opened = packets.outgoing & (packets.flags == SYN)
    assert 10 <= opened.sum() <= 200


def test_a_kind_keeps_its_rhythm() -> None:
    """A thermostat reports about each five minutes, and by so much as its own jitter to each side."""
    packets = generated("thermostat", 3, 5)
    opened = packets.time_ns[packets.outgoing & (packets.flags == SYN)]
    gaps_s = np.diff(opened) / SECOND_NS
    usual = np.median(gaps_s)

    assert 255 <= usual <= 345
    assert (np.abs(gaps_s - usual) < 8).mean() > 0.9


@pytest.mark.parametrize("kind", LASTS_S)
def test_an_attack_stays_in_its_time(kind: str) -> None:
    """What comes before and after it is as it was, and a seed gives the same attack."""
    packets = generated("hub", 1, 7)
    found = attacked(packets, kind, START_NS, np.random.default_rng(1))
    end_ns = START_NS + (LASTS_S[kind] + 1) * SECOND_NS

    def outside(some: Packets) -> Packets:
        which = (some.time_ns < START_NS) | (some.time_ns >= end_ns)
        return Packets._make(column[which] for column in some)

    assert same(outside(found), outside(packets))
    assert not same(found, packets)
    assert same(found, attacked(packets, kind, START_NS, np.random.default_rng(1)))
    assert (np.diff(found.time_ns) >= 0).all()


def test_quiet_attacks_that_move_packets_neither_add_nor_remove_any() -> None:
    """A silence only removes; reordered gaps are the same gaps."""
    packets = generated("hub", 1, 7)
    before = len(packets.time_ns)

    assert len(attacked(packets, "regular", START_NS, np.random.default_rng(1)).time_ns) == before
    assert len(attacked(packets, "shuffle", START_NS, np.random.default_rng(1)).time_ns) == before
    silent = attacked(packets, "silence", START_NS, np.random.default_rng(1))
    inside = (silent.time_ns >= START_NS) & (silent.time_ns < START_NS + LASTS_S["silence"] * SECOND_NS)
    assert not inside.any()
    assert len(silent.time_ns) < before


def test_loud_attacks_are_as_loud_as_they_say() -> None:
    """Packets a second, and for a scan a port once only."""
    packets = generated("lock", 1, 7)
    added = {
        kind: len(attacked(packets, kind, START_NS, np.random.default_rng(1)).time_ns) - len(packets.time_ns)
        for kind in ("burst", "flood", "scan", "slow_scan", "beacon", "exfiltration")
    }

    assert 2_700 < added["burst"] < 3_300
    assert 3_600 < added["flood"] < 4_400
    assert 2_500 < added["scan"] < 3_400
    assert 200 < added["slow_scan"] < 240
    assert 390 < added["beacon"] < 810
    assert 560 < added["exfiltration"] < 640
    scan = attacked(packets, "scan", START_NS, np.random.default_rng(1))
    tried = scan.target_port[scan.outgoing & (scan.peer == 99) & (scan.transport == Transport.TCP)]
    assert len(set(tried.tolist())) == len(tried)


def test_what_is_not_there_is_refused() -> None:
    """Kinds and attacks by name, days by number, and an hour without packets can't be reordered."""
    with pytest.raises(ModelError, match=r'kind of device: expected one of lock, .*, found "kettle"'):
        generated("kettle", 1, 1)
    for days in (0, MOST_DAYS + 1):
        with pytest.raises(ModelError, match=f"days: expected 1 to 31, found {days}"):
            generated("lock", days, 1)
    packets = generated("lock", 1, 1)
    with pytest.raises(ModelError, match=r'attack: expected one of burst, .*, found "phishing"'):
        attacked(packets, "phishing", START_NS, np.random.default_rng(1))
    with pytest.raises(ModelError, match="shuffle: expected 4 packets or more to change, found 0"):
        attacked(packets, "shuffle", START_NS + 9 * DAY_NS, np.random.default_rng(1))
