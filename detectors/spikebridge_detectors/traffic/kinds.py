"""
What kinds of devices there are: streams, and the packets of which each occasion of a stream consists.

They are made up after what such devices are known to do: no packet, no time and no length here was taken from a capture.
"""

from __future__ import annotations

from typing import NamedTuple

from spikebridge_detectors.capture.columns import Transport

SYN, ACK, PUSH, FIN, RST = 0x02, 0x10, 0x08, 0x01, 0x04
DAY_S = 86_400


class Step(NamedTuple):
    """One packet of an occasion: seconds after the first, whether the device sends it, bytes, TCP's flags."""

    after_s: float
    outgoing: bool
    length: int
    flags: int = 0


class Stream(NamedTuple):
    """
    One thing that a device does again and again.

    Occasions come each `every_s` seconds with a deviation of `jitter_s`, or, where that is None, by luck so often on average, mostly by day.
    An occasion has `steps`, and as many times more of `more` as lies between `times`.
    """

    transport: Transport
    port: int
    every_s: float
    steps: tuple[Step, ...]
    jitter_s: float | None = None
    more: tuple[Step, ...] = ()
    times: tuple[int, int] = (0, 0)


def asked(out: int, back: int, after_s: float = 0.03, flags: int = 0) -> tuple[Step, ...]:
    """Return a question and its answer."""
    return Step(0.0, True, out, flags), Step(after_s, False, back, flags)


def called(out: int, back: int) -> tuple[Step, ...]:
    """Return a TCP connection that the device opens, in which it asks, is answered, and closes."""
    data = ACK | PUSH
    return (
        Step(0.0, True, 74, SYN),
        Step(0.03, False, 74, SYN | ACK),
        Step(0.031, True, 66, ACK),
        Step(0.033, True, out, data),
        Step(0.065, False, 66, ACK),
        Step(0.08, False, back, data),
        Step(0.081, True, 66, ACK),
        Step(0.12, True, 66, FIN | ACK),
        Step(0.15, False, 66, FIN | ACK),
        Step(0.151, True, 66, ACK),
    )


_PING = (*asked(68, 68, 0.04, ACK | PUSH), Step(0.041, True, 66, ACK))
_NAMES = Stream(Transport.UDP, 53, 1800, asked(78, 142, 0.02), jitter_s=40)
_CLOCK = Stream(Transport.UDP, 123, 1024, asked(90, 90, 0.05), jitter_s=2)
_FOUND = Stream(Transport.ARP, 0, 240, asked(42, 60, 0.004), jitter_s=25)
_DATA = ACK | PUSH

RECONNECTS = (*called(340, 1200)[:7], Step(0.2, True, 220, _DATA), Step(0.24, False, 310, _DATA))
"""What a device does once its network is back, or now and then by itself: a connection that stays open."""

KINDS: dict[str, tuple[Stream, ...]] = {
    "lock": (
        Stream(Transport.TCP, 8883, 60, _PING, jitter_s=0.05),
        Stream(Transport.TCP, 8883, DAY_S / 12, asked(310, 90, 0.06, _DATA), more=asked(180, 66, 0.05, _DATA), times=(2, 9)),
        _NAMES,
        _CLOCK,
        _FOUND,
    ),
    "camera": (
        Stream(Transport.UDP, 10_001, 10, asked(86, 86), jitter_s=0.02),
        Stream(Transport.TCP, 443, 30, _PING, jitter_s=0.3),
        Stream(
            Transport.UDP,
            10_002,
            DAY_S / 40,
            asked(120, 90),
            more=(Step(0.012, True, 1200), Step(0.026, True, 1200), Step(0.041, True, 900)),
            times=(40, 200),
        ),
        _NAMES,
        _FOUND,
    ),
    "hub": (
        Stream(Transport.TCP, 8883, 30, _PING, jitter_s=0.4),
        Stream(Transport.TCP, 443, 300, called(820, 460), jitter_s=4),
        Stream(Transport.UDP, 5353, 120, (Step(0, True, 120), Step(1.0, True, 120), Step(3.0, True, 120)), jitter_s=3),
        Stream(Transport.TCP, 8883, DAY_S / 90, asked(210, 90, 0.05, _DATA), more=asked(160, 66, 0.2, _DATA), times=(0, 5)),
        _NAMES,
        _CLOCK,
        _FOUND,
    ),
    "thermostat": (
        Stream(Transport.TCP, 443, 300, called(410, 180), jitter_s=1.2),
        Stream(Transport.TCP, 443, DAY_S / 8, called(300, 240)),
        _NAMES,
        _CLOCK,
        _FOUND,
    ),
    "poller": (
        Stream(Transport.TCP, 502, 2, asked(66, 75, 0.006, _DATA), jitter_s=0.004),
        Stream(Transport.TCP, 502, 5, asked(66, 89, 0.009, _DATA), jitter_s=0.006),
        Stream(Transport.TCP, 502, DAY_S / 20, asked(74, 66, 0.008, _DATA), more=asked(74, 66, 0.3, _DATA), times=(0, 12)),
        _FOUND,
    ),
}
"""By the name of the kind, which is the device class that a model serves."""
