"""How long and how much the spool keeps."""

from __future__ import annotations

from typing import Literal

import msgspec

from spikebridge.limits import MINUTE

HOUR = 60 * MINUTE
ALERTS_AT_LEAST_NS = 48 * HOUR


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """
    How long and how much the spool keeps. Nothing that look-back or a reader's cursor needs is let go.

    At a limit, appends are refused with `LogFull`; with `on_full="drop_oldest"` the oldest records go instead, needed or not, and are
    counted. `min_free_bytes` of the disk are left to the spool's own work: committing and letting go.
    """

    age_ns: int = 24 * HOUR
    max_bytes: int = 8_000_000_000
    alert_age_ns: int = ALERTS_AT_LEAST_NS
    alert_max_bytes: int = 2_000_000_000
    look_back_ns: int = 30 * MINUTE
    min_free_bytes: int = 64 * 1024 * 1024
    on_full: Literal["refuse", "drop_oldest"] = "refuse"

    def __post_init__(self) -> None:
        """Refuse what would lose alerts."""
        if self.alert_age_ns < ALERTS_AT_LEAST_NS:
            raise ValueError(f"the alert log keeps at least 48 h, found {self.alert_age_ns / HOUR:g} h")
        if self.age_ns < self.look_back_ns:
            raise ValueError(
                f"the spike log keeps at least the look-back, {self.look_back_ns / HOUR:g} h, found {self.age_ns / HOUR:g} h"
            )
