"""Alarms of several devices that are one occasion, as an outage of their site is: put together, none left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from spikebridge_detectors.elapsed import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spikebridge_detectors.alarm import Alarm

WITHIN_NS = 600 * SECOND_NS
"""Alarms no further than this from the first of them are one incident."""


class Incident(NamedTuple):
    """Alarms of one occasion in the order of time, each with the name of its device."""

    alarms: list[tuple[str, Alarm]]

    @property
    def devices(self) -> list[str]:
        """Return who raised them, each once, the first first."""
        return list(dict.fromkeys(device for device, _ in self.alarms))

    @property
    def of_a_site(self) -> bool:
        """Say whether several devices raised them."""
        return len(self.devices) > 1


def grouped(alarms: Mapping[str, Iterable[Alarm]]) -> list[Incident]:
    """Return the alarms of all devices, by name, as incidents; each alarm is in just one."""
    found: list[Incident] = []
    told = [(device, alarm) for device, raised in alarms.items() for alarm in raised]
    for device, alarm in sorted(told, key=lambda one: (one[1], one[0])):
        if found and alarm.time_ns - found[-1].alarms[0][1].time_ns <= WITHIN_NS:
            found[-1].alarms.append((device, alarm))
        else:
            found.append(Incident([(device, alarm)]))
    return found
