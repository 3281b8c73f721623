"""What happens at the demonstration's site: attacks as bursts of output spikes or as generated packets, and what must come of them."""

from __future__ import annotations

from typing import NamedTuple

from spikebridge.limits import MINUTE, SECOND

MS = SECOND // 1_000
HOUR = 60 * MINUTE

LOCK, CAMERA, ARM = "10.20.0.11", "10.20.0.2", "10.20.0.3"
STRANGER, CALLER, VICTIM = "198.51.100.9", "198.51.100.23", "203.0.113.50"
"""Addresses that RFC 5737 keeps for documents: no packet ever reaches them."""


class Burst(NamedTuple):
    """`n` spikes of one neuron of a device, `step_ns` apart, the first `at_ns` after the episode begins."""

    device: str
    neuron: int
    n: int = 1
    step_ns: int = 0
    at_ns: int = 0
    peer: str = ""
    layer: int = 0

    @property
    def end_ns(self) -> int:
        """Tell when the last spike is."""
        return self.at_ns + (self.n - 1) * self.step_ns


class Mute(NamedTuple):
    """A device says nothing at all in this stretch of the episode, not even that it lives."""

    device: str
    from_ns: int
    to_ns: int


class Attack(NamedTuple):
    """Generated packets of an attack on a device whose network runs in the service; which neurons fire is for the network to say."""

    device: str
    kind: str
    lasts_ns: int
    at_ns: int = 0


class Episode(NamedTuple):
    """Something that happens: `alerts` are (rule, device), `incidents` are rules; both must come of it."""

    name: str
    bursts: tuple[Burst, ...]
    alerts: frozenset[tuple[str, str]]
    incidents: frozenset[str] = frozenset()
    mutes: tuple[Mute, ...] = ()
    attacks: tuple[Attack, ...] = ()

    @property
    def length_ns(self) -> int:
        """Tell when it is over."""
        return max(
            [
                0,
                *(burst.end_ns for burst in self.bursts),
                *(mute.to_ns for mute in self.mutes),
                *(one.at_ns + one.lasts_ns for one in self.attacks),
            ]
        )


def _episode(
    name: str, bursts: list[Burst], alerts: list[str], incidents: tuple[str, ...] = (), mutes: tuple[Mute, ...] = ()
) -> Episode:
    """Write alerts as `rule device`."""
    pairs = frozenset((rule, device) for rule, _, device in (alert.partition(" ") for alert in alerts))
    return Episode(name, tuple(bursts), pairs, frozenset(incidents), mutes)


LIVE = (
    _episode(
        "a neighbour floods the thermostat",
        [Burst("thermostat-7", 42, 25, 2 * MS, peer=STRANGER)],
        ["net-ddos-burst thermostat-7"],
    ),
    _episode(
        "the charger begins to mine, and then looks around",
        [Burst("charger-4", 60, 60, 80 * MS, layer=1), Burst("charger-4", 47, at_ns=5 * SECOND, peer=LOCK)],
        ["power-crypto-mining charger-4", "peer-first-contact charger-4"],
        ("lateral-movement-after-power",),
    ),
    _episode(
        "somebody tries passwords at the camera, gets in, and goes on to the lock",
        [Burst("camera-2", 43, 12, 60 * MS, peer=STRANGER), Burst("camera-2", 47, at_ns=2 * SECOND, peer=LOCK)],
        ["net-brute-force camera-2", "peer-first-contact camera-2"],
        ("lateral-movement",),
    ),
    _episode(
        "a transmitter plays the robot arm a movement that is too smooth",
        [Burst("robot-arm-3", 80, 6, 4 * MS, layer=2), Burst("robot-arm-3", 90, 10, 5 * MS, at_ns=30 * MS, layer=1)],
        ["rf-injected-signal robot-arm-3", "vib-too-smooth robot-arm-3"],
        ("machine-sabotage",),
    ),
    _episode(
        "the lock is called by its botmaster",
        [Burst("lock-1", 45, 4, 100 * MS, peer=CALLER)],
        ["net-c2-wake-up lock-1"],
    ),
    _episode(
        "the camera scans ports",
        [Burst("camera-2", 40, 40, 25 * MS, peer=ARM)],
        ["net-scan-ports camera-2"],
    ),
    Episode(
        "the hub tries ports: its sensor sends raw spikes, and the network in the service says what they mean",
        (),
        frozenset({("net-scan-ports", "hub-5")}),
        attacks=(Attack("hub-5", "scan", 2 * SECOND),),
    ),
    _episode(
        "three devices flood one victim",
        [
            Burst(device, 42, 60, 5 * MS, at_ns=at * 50 * MS, peer=VICTIM)
            for at, device in enumerate(("camera-2", "lock-1", "gateway-1"))
        ],
        ["net-ddos-burst camera-2", "net-ddos-burst lock-1", "net-ddos-burst gateway-1"],
        ("threat-spreads",),
    ),
    _episode(
        "the gateway's chip grows hot",
        [Burst("gateway-1", 100, 3, 300 * MS)],
        ["edge-overheated gateway-1"],
    ),
    _episode(
        "the camera sends much more than usual",
        [Burst("camera-2", 46, 35, 20 * MS, peer=VICTIM)],
        ["net-exfiltration camera-2"],
    ),
    _episode(
        "an idle charger encrypts",
        [Burst("charger-4", 61, 12, 60 * MS, layer=1)],
        ["power-idle-encryption charger-4"],
    ),
    Episode(
        "another lock's heartbeat becomes a burst, and the network in the service hears it",
        (),
        frozenset({("net-ddos-burst", "lock-6")}),
        attacks=(Attack("lock-6", "burst", SECOND),),
    ),
    _episode(
        "the arm's sensor begins anew",
        [Burst("robot-arm-3", 103)],
        ["edge-restarted robot-arm-3"],
    ),
)
"""Each takes seconds; the demonstration plays them one after the other."""

_BEACON = [
    Burst("charger-4", 44, 16, 4 * MINUTE, peer=CALLER),
    Burst("charger-4", 46, 40, SECOND, at_ns=HOUR + MINUTE, peer=CALLER),
]
_AWAY = tuple(Mute(device, 0, 25 * MINUTE) for device in ("thermostat-7", "lock-1", "camera-2"))

HOURS = (
    (
        30 * MINUTE,
        _episode(
            "the charger calls home every four minutes, and after an hour sends what it has",
            _BEACON,
            ["net-beacon charger-4", "net-exfiltration charger-4"],
            ("covert-channel",),
        ),
    ),
    (
        90 * MINUTE,
        _episode(
            "the thermostat is called, falls silent, and comes back scanning",
            [
                Burst("thermostat-7", 45, 4, 200 * MS, peer=CALLER),
                Burst("thermostat-7", 40, 40, 50 * MS, at_ns=16 * MINUTE, peer=CAMERA),
            ],
            ["net-c2-wake-up thermostat-7", "device-silent thermostat-7", "net-scan-ports thermostat-7"],
            ("botnet-recruitment",),
            (Mute("thermostat-7", 2 * SECOND, 16 * MINUTE),),
        ),
    ),
    (
        4 * HOUR,
        _episode(
            "a switch fails: three devices fall silent at once",
            [],
            ["device-silent thermostat-7", "device-silent lock-1", "device-silent camera-2"],
            ("site-silent",),
            _AWAY,
        ),
    ),
)
"""What takes longer, with the time at which it begins: the recording of a night."""
