"""The figures as text and as JSON."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.evaluate.protocol import LEARNED_DAYS, poisson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge_detectors.evaluate.adversarial import Swept
    from spikebridge_detectors.evaluate.held_back import HeldBack
    from spikebridge_detectors.evaluate.measure import Clean, Replicate
    from spikebridge_detectors.evaluate.protocol import Rate, Trial
    from spikebridge_detectors.sites import Incident

MOST_NAMED = 12
MEASURED, HELD_BACK, ADVERSARIAL, END = "<!-- measured -->", "<!-- held back -->", "<!-- adversarial -->", "<!-- end -->"
MOST_PER_DAY = 2.0
"""A row with more false alarms than this doesn't count."""

COUNT_NEUTRAL = ("too_regular_1h", "iat_shuffle_1h")
"""Attacks that change no count of packets in an hour."""


def trials(found: Sequence[Trial]) -> dict[str, Any]:
    """Return how many attacks were found, of each kind too, with the median seconds it took and the misses by name."""
    kinds = sorted({trial.kind for trial in found})
    return {
        **_of(found),
        "kinds": {kind: _of([trial for trial in found if trial.kind == kind]) for kind in kinds},
        "missed": [f"{trial.kind} on {trial.device}" for trial in found if trial.seconds is None],
    }


def _of(found: Sequence[Trial]) -> dict[str, Any]:
    seconds = [trial.seconds for trial in found if trial.seconds is not None]
    return {"found": len(seconds), "of": len(found), "median_seconds": round(median(seconds), 1) if seconds else None}


def clean(found: Clean) -> dict[str, Any]:
    """Return the false alarms of all devices and of each; those of a site's incidents are in both counts."""
    return {
        **_rate(found.all),
        "incidents": len(found.incidents),
        "site_incidents": [_site(incident) for incident in found.incidents if incident.of_a_site],
        "kinds": found.kinds,
        "devices": {name: _rate(rate) for name, rate in found.devices.items()},
    }


def _site(incident: Incident) -> dict[str, Any]:
    alarms = [
        {"device": device, "kind": alarm.kind, "seconds": round(alarm.time_ns / SECOND_NS, 1)}
        for device, alarm in incident.alarms
    ]
    return {"seconds": alarms[0]["seconds"], "alarms": alarms}


def _rate(rate: Rate) -> dict[str, Any]:
    return {"alarms": rate.alarms, "device_days": round(rate.days, 2), "per_day": round(rate.rate, 2)} | {
        "interval": [round(rate.low, 2), round(rate.high, 2)]
    }


def replicate(found: Replicate) -> dict[str, Any]:
    """Return the replicate with the number that chance would have found."""
    count = len(found.trials)
    most = poisson(found.chance)[1] / count if count else 0.0
    share = round(found.chance / count, 3) if count else None
    return {**trials(found.trials), "chance": found.chance, "chance_share": share, "chance_at_most": round(most, 3)}


def held_back(found: HeldBack) -> dict[str, Any]:
    """Return what was found on days held back, their false alarms, and which devices have too few days."""
    devices = {name: _rate(rate) for name, rate in found.devices.items()}
    return {**trials(found.trials), **_rate(found.all), "devices": devices, "not_measured": list(found.unfit.values())}


def text(measured: dict[str, Any]) -> str:
    """Return the figures as tables for a reader; those that are brief are in the first alone."""
    measured = escaped(measured)
    rows = [row for row in measured["rows"] if not row["brief"]]
    lines = [
        f"Learned and calibrated on days 0 to {LEARNED_DAYS} alone, reported from day {LEARNED_DAYS} on.",
        "",
        "| detectors | quiet | of them count-neutral | loud | replicate | by chance | false alarms per device-day (95 %) | worst device |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(row) for row in measured["rows"]),
        "",
        "Found of scored, and the median of seconds it took:",
        "",
        f"| attack | {' | '.join(row['name'] for row in rows)} |",
        f"|---|{'---|' * len(rows)}",
    ]
    for part in ("quiet", "loud", "replicate"):
        for kind in rows[0][part]["kinds"]:
            found = " | ".join(cell(row[part]["kinds"][kind]) for row in rows)
            lines.append(f"| {kind}{', replicate' if part == 'replicate' else ''} | {found} |")
    for row in rows:
        lines += ["", *_clean(row)]
    absent = [f"Not measured: {what}." for what in measured["not_measured"]]
    return "\n".join([*lines, *_strain(measured["strain"]), *([""] if absent else []), *absent]) + "\n"


def held_back_text(measured: dict[str, Any]) -> str:
    """Return what was found on days held back as a table."""
    measured = escaped(measured)
    lines = ["| learned from | found | median seconds | false alarms per device-day (95 %) | missed |", "|---|---|---|---|---|"]
    for name, days in measured.items():
        told = "clean days" if name == "clean" else f"days with an hour of {name}"
        cells = [told, f"{days['found']}/{days['of']}", str(days["median_seconds"]), interval(days), ", ".join(days["missed"])]
        lines.append(f"| {' | '.join(cells)} |")
    absent = dict.fromkeys(what for days in measured.values() for what in days["not_measured"])
    return "\n".join([*lines, *([""] if absent else []), *(f"Not measured: {what}." for what in absent)]) + "\n"


def swept(found: Swept) -> dict[str, Any]:
    """Return recall against amplitude."""
    at = [
        {"amplitude": amplitude, **_of(tried.trials), "chance": tried.chance}
        for amplitude, tried in zip(found.evasion.amplitudes, found.found, strict=True)
    ]
    return {"change": found.evasion.name, "unit": found.evasion.unit, "kind": found.kind, "recall": at}


def adversarial_text(measured: dict[str, Any]) -> str:
    """Return recall against amplitude, a table for each change; a cell is found of tried and the median of seconds it took."""
    lines: list[str] = []
    for change in dict.fromkeys(row["change"] for row in measured["adversarial"]):
        rows = [row for row in measured["adversarial"] if row["change"] == change]
        amplitudes = [f"{at['amplitude']:g}" for at in rows[0]["recall"]]
        lines += [
            "",
            f"| {change}: {rows[0]['unit']} | {' | '.join(amplitudes)} | by chance |",
            f"|---|{'---|' * len(amplitudes)}---|",
        ]
        lines += [f"| {row['kind']} | {' | '.join(map(cell, row['recall']))} | {row['recall'][0]['chance']} |" for row in rows]
    return "\n".join(lines[1:]) + "\n"


def escaped(measured: Any) -> Any:
    """Return figures whose names can stand in a table: whoever made a capture chose those of devices, attacks and recordings."""
    if isinstance(measured, dict):
        return {escaped(name): escaped(value) for name, value in measured.items()}
    if isinstance(measured, list):
        return [escaped(value) for value in measured]
    return " ".join(measured.split()).replace("|", "\\|").replace("<", "&lt;") if isinstance(measured, str) else measured


def put(page: str, tables: str, mark: str = MEASURED) -> str:
    """Return a page with its tables replaced."""
    before, first, rest = page.partition(mark)
    _, last, after = rest.partition(END)
    if not (first and last):
        raise ModelError(f"expected a page with {mark} and {END} in it")
    return f"{before}{first}\n\n{tables}\n{last}{after}"


def _row(row: dict[str, Any]) -> str:
    quiet, loud, again, false = row["quiet"], row["loud"], row["replicate"], row["clean"]
    neutral = [quiet["kinds"][kind] for kind in COUNT_NEUTRAL if kind in quiet["kinds"]]
    counts = {name: sum(of[name] for of in neutral) for name in ("found", "of")}
    worst = max(rate["per_day"] for rate in false["devices"].values())
    held = "" if false["per_day"] <= MOST_PER_DAY else ", **does not count: above 2**"
    cells = [row["name"], share(quiet), share(counts), share(loud), share(again), str(again["chance"])]
    cells += [f"{interval(false)}{held}", f"{worst:.2f}"]
    return f"| {' | '.join(cells)} |"


def share(of: dict[str, Any]) -> str:
    """Return found of scored, or a dash where there was nothing to find."""
    return f"{of['found']}/{of['of']}" if of["of"] else "-"


def cell(of: dict[str, Any] | None) -> str:
    """Return found of tried and the median of seconds it took, or a dash where nothing was tried."""
    return "-" if of is None else share(of) + ("" if of["median_seconds"] is None else f" {of['median_seconds']:,.0f}")


def interval(rate: dict[str, Any]) -> str:
    """Return a rate with the interval that it is known to."""
    return f"{rate['per_day']:.2f} ({rate['interval'][0]:.2f}-{rate['interval'][1]:.2f})"


def _clean(row: dict[str, Any]) -> list[str]:
    false = row["clean"]
    by = ", ".join(f"{count} {kind}" for kind, count in false["kinds"].items()) or "none"
    devices = "; ".join(f"{name} {interval(rate)}" for name, rate in false["devices"].items())
    names = [*row["quiet"]["missed"], *row["loud"]["missed"]]
    scored = row["quiet"]["of"] + row["loud"]["of"]
    missed = (
        (", ".join(names) or ("nothing" if scored else "nothing was to be found"))
        if len(names) <= MOST_NAMED
        else f"{len(names)}, of which the table above names the kinds"
    )
    count = f"**{row['name']}**. False alarms: {false['alarms']} in {false['device_days']} device-days ({by})"
    sites = f"{false['incidents']} if those of several devices within ten minutes are one"
    return [f"{count}; {sites}.", sites_text(false), f"Each device: {devices}.", f"Missed: {missed}."]


def sites_text(false: dict[str, Any]) -> str:
    """Return when several devices raised alarms at once, and which."""
    told = []
    for incident in false["site_incidents"]:
        day, second = divmod(int(incident["seconds"]), DAY_NS // SECOND_NS)
        alarms = (
            f"{alarm['device']} {alarm['kind']}{_later(alarm['seconds'] - incident['seconds'])}" for alarm in incident["alarms"]
        )
        clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        told.append(f"day {day} at {clock}, {', '.join(alarms)}")
    return f"Incidents of the site: {'; '.join(told) or 'none'}."


def _later(seconds: float) -> str:
    return f" {seconds:.0f} s later" if seconds else ""


def _strain(strain: dict[str, Any]) -> list[str]:
    lines = ["", "| the network alone, strained | quiet | false alarms per device-day (95 %) |", "|---|---|---|"]
    for name in ("lost", "jitter"):
        row = strain[name]
        lines.append(f"| {row['what']} | {share(row['quiet'])} | {interval(row['clean'])} |")
    lines += ["", "| replicate, an hour of the attack on a day of training | learned clean | learned so |", "|---|---|---|"]
    for kind, (before, after) in strain["contaminated"].items():
        lines.append(f"| {kind} | {share(before)} | {share(after)} |")
    return lines
