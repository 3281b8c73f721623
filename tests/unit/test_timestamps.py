"""Nanoseconds as text."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from spikebridge.timestamps import rfc3339, rfc3339_ms

NOON_NS = 1_795_176_000_000_000_000


def test_all_nine_digits_are_kept() -> None:
    """A time that is read back is the time that was written."""
    assert rfc3339(NOON_NS) == "2026-11-20T12:00:00.000000000Z"
    assert rfc3339(NOON_NS + 1) == "2026-11-20T12:00:00.000000001Z"
    assert rfc3339(-1) == "1969-12-31T23:59:59.999999999Z"


def test_milliseconds_are_cut_not_rounded() -> None:
    """A time never reads later than it was."""
    assert rfc3339_ms(NOON_NS + 999_999) == "2026-11-20T12:00:00.000Z"


def test_what_no_calendar_holds_reads_as_its_border() -> None:
    """No number from a device makes a document fail."""
    assert rfc3339(10**30).startswith("9999-12-31T23:59:59.")
    assert rfc3339(-(10**30)).startswith("0001-01-01T00:00:00.")


@given(st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2262, 1, 1)))  # noqa: DTZ001 -- hypothesis wants them naive
def test_the_standard_library_reads_it_back(moment: datetime) -> None:
    """The text is what `datetime` means by it."""
    moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    time_ns = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000

    assert datetime.fromisoformat(rfc3339(time_ns)) == moment
