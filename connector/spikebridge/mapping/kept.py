"""
Which of an alert's records travel beside it, and in which form.

All of them, if they have room. Where the evidence of networks that frames carry takes too much, frames travel without theirs, oldest
first. What then still has no room is cut to the first and the last record, and the alert says `partial`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET

from spikebridge.alerts import EVIDENCE_BYTES, EvidenceInfo, EvidenceRecord
from spikebridge.canonical import sha256

if TYPE_CHECKING:
    from spikebridge.mapping.opened import Opened


class Gathered(NamedTuple):
    """The records of an alert, oldest first, of how many; `skipped` of the rule's spikes come before those that counted."""

    records: list[Opened]
    total: int
    skipped: int
    whole: bool = True


def kept(gathered: Gathered, skip: int, clock_ns: int, *, whole: bool, carried: bool) -> tuple[EvidenceInfo, tuple[bytes, ...]]:
    """Keep the records up to the limit, else the first and the last; bytes that are too large alone are left out."""
    records = gathered.records
    partial = not (whole and carried)
    forms = _fitting(records)
    if forms is None:
        partial = True
        records = [records[0], records[-1]] if len(records) > 1 else records
        forms = [opened.record.value for opened in records]
    room = EVIDENCE_BYTES if carried else 0
    raw: list[bytes] = []
    for form in reversed(forms):
        fits = len(form) <= room
        raw.append(form if fits else b"")
        room -= len(form) if fits else 0
    info = EvidenceInfo(
        records=[
            EvidenceRecord(
                offset=opened.record.offset,
                append_ns=opened.record.append_ns,
                size=len(opened.record.value),
                sha256=opened.digest,
                lean=UNSET if len(form) == len(opened.record.value) else sha256(form),
            )
            for opened, form in zip(records, forms, strict=True)
        ],
        total=gathered.total,
        partial=partial,
        skip=skip + gathered.skipped,
        clock_ns=clock_ns,
    )
    return info, tuple(reversed(raw))


def _fitting(records: list[Opened]) -> list[bytes] | None:
    """Return the bytes of all records, of the oldest without evidence where it has no room; None if they don't fit at all."""
    room = EVIDENCE_BYTES - sum(len(opened.lean) for opened in records)
    if room < 0:
        return None
    forms: list[bytes] = []
    for opened in reversed(records):
        more = len(opened.record.value) - len(opened.lean)
        forms.append(opened.record.value if more <= room else opened.lean)
        room = room - more if more <= room else 0
    return forms[::-1]
