"""The limits that decide which alerts exist. They are part of every revision, never read from elsewhere."""

from __future__ import annotations

import msgspec

SECOND = 1_000_000_000
MINUTE = 60 * SECOND

RULES_VERSION = 2
"""The version of the rules of DESIGN.md section 2 that this code computes; a revision names the one it needs."""

PLAIN_VERSION, MODELS_VERSION = 1, 2
"""What a revision needs without models, and with them."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Times are nanoseconds. The defaults are those of the design; tests scale them down."""

    late_ns: int = 5 * MINUTE
    future_ns: int = MINUTE
    frame_ns: int = 5 * MINUTE
    gap_ns: int = 2 * MINUTE
    clock_fall_ns: int = MINUTE
    look_back_ns: int = 30 * MINUTE
    crowd_ns: int = MINUTE
    max_unknown_devices: int = 200_000

    @property
    def longest_memory_ns(self) -> int:
        """What is left of the look-back for window (or absence span) + 2 x suppression + detector memory."""
        return self.look_back_ns - 2 * self.late_ns - self.future_ns - self.gap_ns
