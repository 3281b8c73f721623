"""What a sink is given of the alert log."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from spikebridge.alerts import SEVERITIES, Alert, read_finding

if TYPE_CHECKING:
    from spikebridge.alerts import AlertEntry, Kind, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a sink wants: everything that is severe enough, of these sites (names or globs) and kinds; empty means all."""

    severity: Severity = "Low"
    sites: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()

    def wants(self, entry: AlertEntry) -> bool:
        """Say whether an entry passes."""
        if self.kinds and entry.kind not in self.kinds:
            return False
        if self.severity == "Low" and not self.sites:
            return True
        try:
            finding = read_finding(entry.body)
        except msgspec.MsgspecError:
            return True  # what no version of ours wrote is the sink's to refuse: it becomes a dead letter, and stops nobody
        site = finding.device.site if isinstance(finding, Alert) else finding.site
        severe = SEVERITIES[finding.rule.severity] >= SEVERITIES[self.severity]
        return severe and (not self.sites or any(fnmatchcase(site, glob) for glob in self.sites))
