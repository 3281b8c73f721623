"""Nanoseconds since the epoch to RFC 3339 in UTC, as documents and terminals show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000_000
_FIRST_SECOND = -62_135_596_800
_LAST_SECOND = 253_402_300_799


def rfc3339(time_ns: int) -> str:
    """Write a time with all nine digits; what lies before the year 1 or after 9999 reads as that border."""
    second, fraction = divmod(time_ns, _SECOND)
    return f"{second_text(second)}.{fraction:09d}Z"


def rfc3339_ms(time_ns: int) -> str:
    """Write a time cut to milliseconds."""
    second, fraction = divmod(time_ns, _SECOND)
    return f"{second_text(second)}.{fraction // 1_000_000:03d}Z"


@lru_cache(4096)
def second_text(second: int) -> str:
    """Write a whole second without its zone; alerts come in bunches, so most are in the cache."""
    inside = min(max(second, _FIRST_SECOND), _LAST_SECOND)
    return (_EPOCH + timedelta(seconds=inside)).isoformat()[:19]
