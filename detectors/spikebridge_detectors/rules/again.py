"""Alarms of the rules again, from evidence alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge_detectors.capture.kinds import from_rows
from spikebridge_detectors.rules import advance
from spikebridge_detectors.rules.evidence import unpack

if TYPE_CHECKING:
    from spikebridge_detectors.alarm import Alarm
    from spikebridge_detectors.evidence import Evidence


def found(evidence: Evidence) -> list[Alarm]:
    """Return the alarms that follow from the evidence."""
    return advance(unpack(evidence.state), from_rows(evidence.input), evidence.said.until_ns)
