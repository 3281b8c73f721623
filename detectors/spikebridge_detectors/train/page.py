"""The report of a training: one page of HTML that needs nothing else, and may load and run nothing."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from spikebridge_detectors import plot
from spikebridge_detectors.axes import text
from spikebridge_detectors.elapsed import DAY_NS
from spikebridge_detectors.evaluate.inject import KINDS
from spikebridge_detectors.evaluate.protocol import rate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spikebridge_detectors.train.gather import Given
    from spikebridge_detectors.train.traffic import HeldBack

MOST_TEXT = 2000
_STYLE = (
    "body{font-family:sans-serif;max-width:61em;margin:2em auto;padding:0 1em;color:#1a1a1a;background:#fff}"
    "table{border-collapse:collapse;margin:.6em 0}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left;"
    "overflow-wrap:anywhere}svg{max-width:100%;height:auto;margin:.6em 0}code{overflow-wrap:anywhere}"
)
_LEVEL = 0.05


class Said(NamedTuple):
    """What the page says of a training beside its pictures: `facts` by name, and what was passed over."""

    title: str
    facts: dict[str, str]
    files: Sequence[Given]
    header: Sequence[str]
    devices: Sequence[Sequence[str]]
    passed: dict[str, int]


def written(said: Said, sections: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Return the page; sections are HTML already, under their headings."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    parts = [
        f"<h1>{_said(said.title)}</h1>",
        table(("what", "value"), said.facts.items()),
        "<h2>Learned from</h2>",
        table(("file", "SHA-256", "bytes"), ((file.name, file.sha256, f"{file.size:,}") for file in said.files)),
        table(said.header, said.devices),
    ]
    if said.passed:
        parts.append(table(("passed over", "times"), ((reason, f"{count:,}") for reason, count in said.passed.items())))
    for heading, drawn in sections:
        parts.append(f"<h2>{_said(heading)}</h2>{''.join(drawn)}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'\">"
        '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
        f"<title>{_said(said.title)}</title><style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


_TOO_FEW = (
    "Not measured: a day can be held back only where more than three days are left to learn from. "
    "What this model finds, and how often it raises alarms for nothing, is unknown."
)


def advice(found: HeldBack) -> str:
    """Say whether what was learned of the class does as well as what is learned of each device alone."""
    if len({one.device for one in found.quiet}) < 2:  # noqa: PLR2004  a class
        return "One device: what was learned of the class is what was learned of it."
    by_class, alone = (sum(seconds is not None for seconds in column) for column in _columns(found))
    false_class, false_alone = sum(one.by_class for one in found.quiet), sum(one.alone for one in found.quiet)
    told = (
        f"Learned as a class: {by_class} of {len(found.trials)} attacks, {false_class} false alarms. "
        f"Each device learned alone: {alone} of {len(found.trials)}, {false_alone} false alarms. "
    )
    if alone - by_class > _LEVEL * len(found.trials):
        return told + "Let `spikebridge sense` learn each device by itself: these devices are too different to be one class."
    if by_class - alone > _LEVEL * len(found.trials) or false_class < false_alone:
        return told + "The class does better: it is a good beginning for a device that has no days of its own yet."
    return told + "The class does as well; where a device has days of its own, learning it by itself loses nothing either."


def _columns(found: HeldBack) -> tuple[list[float | None], list[float | None]]:
    return [trial.by_class for trial in found.trials], [trial.alone for trial in found.trials]


def held_back(found: HeldBack | None) -> list[str]:
    """Return what was found of attacks of our own, with the false alarms of the same days."""
    if not found or not found.quiet:
        return [f"<p>{_said(_TOO_FEW)}</p>"]
    kinds, bars = [], []
    for kind in KINDS:
        of_kind = [trial for trial in found.trials if trial.kind == kind]
        hits = sorted(trial.by_class for trial in of_kind if trial.by_class is not None)
        middle = f"{hits[len(hits) // 2]:,.0f} s" if hits else "never"
        if of_kind:
            bars.append((kind, len(hits) / len(of_kind)))
            alone = sum(trial.alone is not None for trial in of_kind)
            kinds.append((kind, f"{len(hits)} of {len(of_kind)}", middle, f"{alone} of {len(of_kind)}"))
    rows = []
    for device in dict.fromkeys(one.device for one in found.quiet):
        days = [one for one in found.quiet if one.device == device]
        mine = [trial for trial in found.trials if trial.device == device]
        rows.append(
            (
                device,
                f"{len(days)}",
                f"{sum(trial.by_class is not None for trial in mine)} of {len(mine)}",
                f"{sum(trial.alone is not None for trial in mine)} of {len(mine)}",
                f"{sum(one.by_class for one in days)}",
                f"{sum(one.alone for one in days)}",
            )
        )
    every = rate(sum(one.by_class for one in found.quiet), len(found.quiet) * DAY_NS)
    return [
        (
            "<p>Each day was held back in turn, learned from the others, and attacked: attacks of our own, two of each kind a day, at places "
            "drawn by the seed. They are scripted and devices don't react to them; take the figures as a check of this model, not as a promise.</p>"
        ),
        plot.bars(bars, title="Found of attacks of our own, at the budget of false alarms", x="share found", most=1.0),
        table(("attack", "found", "median time", "learned alone"), kinds),
        (
            f"<p>False alarms: {every.alarms} in {every.days:.0f} device-days, {every.rate:.2f} per device-day "
            f"(95 % interval {every.low:.2f} to {every.high:.2f}); those within ten minutes of another are one.</p>"
        ),
        table(("device", "days", "found", "learned alone", "false alarms", "false alarms, learned alone"), rows),
        f"<p><strong>{_said(advice(found))}</strong></p>",
    ]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of text."""
    head = "".join(f"<th>{_said(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{_said(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _said(value: str) -> str:
    return text(value, MOST_TEXT)
