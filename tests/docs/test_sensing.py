"""The example on sensing runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge import cli
from spikebridge.mapping.engine import alerts_of
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.load import load
from spikebridge.spikes.frame import Head, encode_events
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    import pytest

MAPPINGS = Path(__file__).parents[2] / "mappings"
MINUTE_NS = 60 * 10**9
BEGIN_NS = 1_790_000_000 * 10**9
PAGE = (Path(__file__).parents[2] / "connector/manual/sensing.md").read_text(encoding="utf-8")


def test_the_example_makes_days_that_sensing_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row of them, of the one device."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})  # noqa: S102 - our own manual
    rows = len((tmp_path / "week.csv").read_text().splitlines()) - 1
    assert rows > 30_000
    assert cli.main(["sense", "--table", "week.csv", "--learn", "30d", "--to", "found.spk", "--dry-run"]) == 0
    assert f"{rows:,} packets of 1 device: 0 watched, 1 being learned" in capsys.readouterr().err


def test_sensed_devices_are_left_to_their_own_neurons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exception that the page shows stands where it belongs, passes the tests of its file, and leaves others watched."""
    (exception,) = re.findall(r"```yaml\n(  except:\n.*?)```", PAGE, re.DOTALL)
    shipped = (MAPPINGS / "network.yaml").read_text(encoding="utf-8")
    (tmp_path / "network.yaml").write_text(
        shipped.replace("  timespan: 12m\n", f"  timespan: 12m\n{exception}"), encoding="utf-8"
    )
    times = [(minute, device) for minute in (0, 13) for device in ("lock-3", "camera-1")]
    records = [
        Record(
            at, BEGIN_NS + minute * MINUTE_NS, encode_events(Head(device=device, start_ns=BEGIN_NS + minute * MINUTE_NS), [], [])
        )
        for at, (minute, device) in enumerate(times)
    ]

    def silent(folder: Path) -> list[str]:
        raised = alerts_of(load([folder / "network.yaml"]).rule_set, records, Identity("default", "test", 0, live=False)).alerts
        return [one.alert.device.id for one in raised if one.alert.rule.id == "device-silent"]

    assert cli.main(["check", str(tmp_path / "network.yaml")]) == 0, capsys.readouterr().out
    assert sorted(silent(MAPPINGS)) == ["camera-1", "lock-3"]
    assert silent(tmp_path) == ["camera-1"]
