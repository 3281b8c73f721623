"""From a capture to an alert that is explained and replayed by what the network saw, with nothing fetched from the edge."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from tests.unit.cli.test_sense import LEARN, sense, table

from spikebridge import cli

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

__all__ = ["table"]


def test_what_was_sensed_is_explained_and_replayed_where_the_alert_is(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of network and rules; what the edge keeps is gone by then."""
    data = tmp_path / "data"
    assert sense("--table", table, *LEARN, "--to", f"spool:{data}", "--state", tmp_path / "state") == 0
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "spikebridge.yaml").write_text(json.dumps({"data": str(data)}))
    assert cli.main(["run", "--once", "--config", str(tmp_path / "spikebridge.yaml")]) == 0
    capsys.readouterr()

    def document(*arguments: str) -> dict[str, Any]:
        assert cli.main([*arguments, "--data", str(data), "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    assert cli.main(["alerts", "--data", str(data), "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    alerts = {one["rule"]["id"]: one["id"] for one in listed if one["kind"] == "alert"}
    for rule, (neuron, kind) in {"timing-burst": (48, "burst"), "timing-silence": (52, "silence")}.items():
        replayed = document("replay", alerts[rule], "--without-lava")
        (network,) = replayed["networks"]
        assert (replayed["verdict"], network["verdict"], network["kind"]) == ("same", "same", kind)
        assert next(one for one in network["engines"] if one["engine"] == "NumPy")["verdict"] == "same"
        (seen,) = document("explain", alerts[rule])["networks"]
        assert (seen["neuron"], seen["kind"], seen["device"]) == (neuron, kind, "meter")
        assert seen["held"] > seen["threshold"]
    (network,) = document("replay", alerts["rule-silence"], "--without-lava")["networks"]
    assert (network["verdict"], network["kind"], network["engines"]) == ("same", "silence", [])
    assert document("explain", alerts["rule-silence"])["networks"][0]["neuron"] == 54
    assert any("sigma" in one["own_gap"] for one in document("explain", alerts["timing-burst"])["networks"][0]["surprises"])
    assert cli.main(["explain", alerts["timing-burst"], "--data", str(data), "--plot", str(tmp_path / "burst.svg")]) == 0
    assert " sigma" in capsys.readouterr().out
    assert (tmp_path / "burst.svg").read_text(encoding="utf-8").startswith("<svg")
