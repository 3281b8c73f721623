"""Names that someone else chose, in the tables of `evaluate`: they stay names, whatever is in them."""

from __future__ import annotations

from typing import Any

import pytest

from spikebridge_detectors.evaluate import plants, report, series

NAME = 'cam|1 <!-- end -->\n"b"'
SHOWN = 'cam\\|1 &lt;!-- end --> "b"'
OF = {"found": 1, "of": 2, "median_seconds": 3.0}
RATE = {"alarms": 1, "device_days": 2.0, "per_day": 0.5, "interval": [0.1, 1.0]}
FOUND = {**OF, "kinds": {NAME: OF}, "missed": [f"scan on {NAME}"], "chance": 0}
CLEAN = {**RATE, "incidents": 1, "kinds": {"burst": 1}, "devices": {NAME: RATE}}
SITE = {"seconds": 432_000.0, "alarms": [{"device": NAME, "kind": "burst", "seconds": 432_000.0}]}
ROW = {
    "name": "timing",
    "brief": False,
    "quiet": FOUND,
    "loud": FOUND,
    "replicate": FOUND,
    "clean": CLEAN | {"site_incidents": [SITE]},
}
PLANT = {
    "plant": "Modbus",
    "detectors": "timing",
    "auc": {NAME: 0.9},
    "attacks": OF,
    "false": {"per_hour": None},
}
SAMPLES = {"data": NAME, "kind": NAME, "splits": 1, "auc": 1.0, "forest": 0.5, "found": 1.0, "false": 0.0} | {
    "lowest": 1.0,
    "forest_lowest": 0.5,
}
STRAIN = {name: {"what": "strained", "quiet": OF, "clean": RATE} for name in ("lost", "jitter")} | {"contaminated": {}}


@pytest.mark.parametrize(
    "text",
    [
        report.text({"rows": [ROW], "strain": STRAIN, "not_measured": [f"{NAME}: expected packets"]}),
        report.held_back_text({"clean": {**RATE, **FOUND, "not_measured": []}}),
        plants.text({"plants": [PLANT]}),
        series.text({"series": [SAMPLES]}),
    ],
    ids=["captures", "held back", "plants", "series"],
)
def test_a_name_breaks_no_table_and_ends_no_page(text: str) -> None:
    """Neither a bar, nor a line's end, nor the mark behind which a page goes on."""
    assert SHOWN in text
    for mark in (report.MEASURED, report.HELD_BACK, plants.PLANTS, series.SERIES):
        page = report.put(f"before {mark} {report.END} behind", text, mark)
        assert report.put(page, "anew\n", mark) == f"before {mark}\n\nanew\n\n{report.END} behind"
    tables = [line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")]
    heads = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|---")}
    assert set(tables) == heads


def test_figures_for_machines_keep_names_as_they_are() -> None:
    """What is shown is a copy."""
    measured: dict[str, Any] = {"plants": [PLANT]}
    plants.text(measured)
    assert measured["plants"][0]["auc"] == {NAME: 0.9}
