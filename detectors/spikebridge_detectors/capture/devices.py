"""
Which end of a packet is a device, and who its peers are.

A device is listed as `[NAME=]WHO`, where WHO is a MAC, an address or a network. A MAC stands above an address, a listed address above a
network. What shares a name is one device; a network without a name holds a device for each address from its first packet on, so that a
scan of addresses that nobody has makes no devices. Nothing listed means the private networks 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 and
fc00::/7. List MACs where you can: who makes up the addresses that it sends from fills the list of devices, which is bounded.

A packet between two devices is two rows, first the sender's. What goes to everybody (broadcast, multicast) is its sender's alone; ARP is
also a row of the one that is asked for. Peers are addresses, and MACs in packets without addresses.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Address, ip_network
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np

from spikebridge_detectors.capture.columns import Packets
from spikebridge_detectors.capture.frames import Passed
from spikebridge_detectors.capture.packets import V4
from spikebridge_detectors.errors import CaptureError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from spikebridge_detectors.capture.packets import Headers

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
MOST_NETWORKS = 256
NOBODY = -1
_REFUSED = -2

_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_ADDRESS_BITS = 128
_V4_BITS = 96
_HALF = 64
_A_MAC = 1 << _ADDRESS_BITS

End = TypeVar("End", int, str)


class Bounds(NamedTuple):
    """How much is remembered: devices, peers of one device, and peers of all."""

    devices: int = 10_000
    peers: int = 1024
    all_peers: int = 1 << 18


class Peers(Generic[End]):
    """Numbers for the peers of each device, in the order of first sight; -1 for those that are too many to remember."""

    def __init__(self, bounds: Bounds) -> None:
        """Know nobody."""
        self._bounds = bounds
        self._known: dict[int, dict[End, int]] = {}
        self._all = 0

    def numbers(self, devices: Iterable[int], ends: Iterable[End]) -> list[int]:
        """Return a number for each packet, of what its device knows."""
        numbers = []
        for device, end in zip(devices, ends, strict=True):
            known = self._known.get(device)
            if known is None:
                known = self._known[device] = {}
            number = known.get(end)
            if number is None:
                number = self._new(known, end)
            numbers.append(number)
        return numbers

    def known(self) -> dict[int, list[End]]:
        """Return the peers of each device in the order of their numbers."""
        return {device: list(ends) for device, ends in self._known.items()}

    def _new(self, known: dict[End, int], end: End) -> int:
        if len(known) >= self._bounds.peers or self._all >= self._bounds.all_peers:
            return NOBODY
        self._all += 1
        known[end] = len(known)
        return known[end]


class Known(NamedTuple):
    """What is remembered of devices and peers, as plain values: addresses and MACs are written in hexadecimal."""

    seen: dict[str, str]
    peers: dict[str, list[str]]


class _Network(NamedTuple):
    """A range of addresses, of one version: those whose halves give `wanted` when they are masked; `device` is who has them all."""

    v4: bool
    mask: tuple[int, int]
    wanted: tuple[int, int]
    device: int | None

    def holds(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.bool_]:
        masks, wanted = np.array(self.mask, np.uint64), np.array(self.wanted, np.uint64)
        held: NDArray[np.bool_] = ((high == 0) == self.v4) & ((high & masks[0]) == wanted[0]) & ((low & masks[1]) == wanted[1])
        return held


class Devices:
    """The devices of a capture: those that are listed, then those that were seen in networks without a name."""

    def __init__(self, inside: Sequence[str] = (), bounds: Bounds | None = None) -> None:
        """List the devices `inside`, each `[NAME=]WHO`."""
        self.names: list[str] = []
        self._bounds = bounds or Bounds()
        self._peers: Peers[int] = Peers(self._bounds)
        self._numbers: dict[str, int] = {}
        self._macs: dict[int, int] = {}
        self._addresses: dict[int, int] = {}
        self._sending: dict[int, int] = {}
        self._networks: list[_Network] = []
        for entry in inside or PRIVATE:
            self._list(entry)
        if len(self._networks) > MOST_NETWORKS:
            raise CaptureError(f"devices: {len(self._networks)} networks, expected at most {MOST_NETWORKS}")

    def _list(self, entry: str) -> None:
        name, _, who = entry.rpartition("=")
        if _MAC.fullmatch(who):
            self._macs[int(who.replace(":", "").replace("-", ""), 16)] = self._number(name or who.lower())
            return
        try:
            network = ip_network(who)
        except ValueError as error:
            raise CaptureError(f"device {entry!r}: expected [NAME=] and a MAC, an address or a network; {error}") from error
        v4 = isinstance(network, IPv4Network)
        first = int(network.network_address) | (V4 if v4 else 0)
        bits = network.prefixlen + (_V4_BITS if v4 else 0)
        if bits == _ADDRESS_BITS:
            self._addresses[first] = self._number(name or str(network.network_address))
        else:
            mask = (1 << _ADDRESS_BITS) - (1 << _ADDRESS_BITS - bits)
            self._networks.append(_Network(v4, _halves(mask), _halves(first), self._number(name) if name else None))

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            if len(self.names) >= self._bounds.devices:
                raise CaptureError(f"devices: more than {self._bounds.devices} are listed")
            self._numbers[name] = len(self.names)
            self.names.append(name)
        return self._numbers[name]

    def rows(self, headers: Headers, passed: Counter[Passed]) -> Packets:
        """Return a row for each end that is a device, the same however the packets are cut into pieces; `passed` counts those of none."""
        sources = _addresses(headers.source_high, headers.source_low)
        targets = _addresses(headers.target_high, headers.target_low)
        sender = self._listed(headers.source_mac, sources)
        receiver = self._listed(headers.target_mac, targets)
        born: dict[int, int] = {}
        for network in self._networks:
            sends = np.flatnonzero(network.holds(headers.source_high, headers.source_low) & (sender == NOBODY))
            receives = np.flatnonzero(network.holds(headers.target_high, headers.target_low) & (receiver == NOBODY))
            if network.device is not None:
                sender[sends], receiver[receives] = network.device, network.device
                continue
            sender[sends] = [self._seen(sources[at], at, born) for at in sends.tolist()]
            receiver[receives] = [self._met(targets[at], at, born) for at in receives.tolist()]
        refused = sender == _REFUSED
        sender[refused] = NOBODY
        passed[Passed.TOO_MANY_DEVICES] += int(refused.sum())
        passed[Passed.NO_DEVICE] += int(((sender == NOBODY) & (receiver == NOBODY) & ~refused).sum())
        row, outgoing = interleaved(sender, receiver)
        device = np.where(outgoing, sender[row], receiver[row])
        source_end, target_end = _ends(sources, headers.source_mac), _ends(targets, headers.target_mac)
        ends = (target_end[at] if out else source_end[at] for at, out in zip(row.tolist(), outgoing.tolist(), strict=True))
        return Packets(
            time_ns=headers.time_ns[row],
            device=device.astype(np.int32),
            outgoing=outgoing,
            peer=np.array(self._peers.numbers(device.tolist(), ends), np.int32),
            transport=headers.transport[row],
            source_port=headers.source_port[row],
            target_port=headers.target_port[row],
            length=headers.length[row],
            flags=headers.flags[row],
        )

    def known(self) -> Known:
        """Return what a restart has to `recall`, so that devices and peers are those they were."""
        peers = self._peers.known()
        return Known(
            seen={format(address, "x"): self.names[number] for address, number in self._sending.items()},
            peers={self.names[device]: [f"{end:x}" for end in ends] for device, ends in peers.items()},
        )

    def recall(self, known: Known) -> None:
        """Take over what was known before, as far as it fits the bounds; devices that are no longer listed or inside are forgotten."""
        for address, name in known.seen.items():
            number = int(address, 16)
            high, low = (np.array([half], np.uint64) for half in _halves(number))
            inside = any(network.device is None and network.holds(high, low)[0] for network in self._networks)
            if inside and number not in self._addresses and len(self.names) < self._bounds.devices:
                self._sending[number] = self._number(name)
        for name, ends in known.peers.items():
            if name in self._numbers:
                self._peers.numbers([self._numbers[name]] * len(ends), [int(end, 16) for end in ends])

    def _listed(self, mac: NDArray[np.uint64], addresses: list[int]) -> NDArray[np.int64]:
        """Return the device at one end of each packet, of those that are listed by MAC or by address."""
        known = self._addresses
        found = np.array([known.get(address, NOBODY) for address in addresses], np.int64)
        if self._macs:
            by_mac = np.array([self._macs.get(number, NOBODY) for number in mac.tolist()], np.int64)
            found = np.where(by_mac == NOBODY, found, by_mac)
        return found

    def _seen(self, address: int, at: int, born: dict[int, int]) -> int:
        """Return the device that sends packet `at`, and note in `born` when that is its first."""
        number = self._sending.get(address)
        if number is None:
            if len(self.names) >= self._bounds.devices:
                return _REFUSED
            written = IPv6Address(address)
            number = self._sending[address] = self._number(str(written.ipv4_mapped or written))
            born[number] = at
        return number

    def _met(self, address: int, at: int, born: dict[int, int]) -> int:
        """Return the device that gets packet `at`, if it sent one before."""
        number = self._sending.get(address, NOBODY)
        return number if born.get(number, NOBODY) < at else NOBODY


def interleaved(sender: NDArray[np.int64], receiver: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return which packets have rows, in their order and the sender's first, and which of the rows are outgoing."""
    sent, received = np.flatnonzero(sender != NOBODY), np.flatnonzero(receiver != NOBODY)
    row = np.concatenate((sent, received))
    order = np.argsort(row, kind="stable")
    return row[order], order < len(sent)


def _halves(number: int) -> tuple[int, int]:
    return number >> _HALF, number & (1 << _HALF) - 1


def _addresses(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> list[int]:
    numbers: list[int] = low.tolist()
    for at in np.flatnonzero(high).tolist():
        numbers[at] |= int(high[at]) << _HALF
    return numbers


def _ends(addresses: list[int], mac: NDArray[np.uint64]) -> list[int]:
    """Return the address of each end, or its MAC where it has none."""
    return [address or number | _A_MAC for address, number in zip(addresses, mac.tolist(), strict=True)]
