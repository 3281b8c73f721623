"""The example on captures runs as it stands, and its tables name each reason and each bound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests import captures

from spikebridge_detectors.capture.devices import MOST_NETWORKS, Bounds
from spikebridge_detectors.capture.frames import Passed

if TYPE_CHECKING:
    import pytest

PAGE = (Path(__file__).parents[2] / "connector/manual/captures.md").read_text(encoding="utf-8")


def test_the_example_reads_a_capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its devices are those that it lists, and what is nobody's is counted."""
    ours = captures.ethernet(captures.ipv4(captures.tcp(), 6, target="10.0.0.7"))
    other = captures.ethernet(captures.ipv4(captures.tcp(), 6), source="02:00:00:00:00:09")
    (tmp_path / "site.pcapng").write_bytes(
        captures.section() + captures.interface() + captures.packet(1, ours) + captures.packet(2, other)
    )
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})  # noqa: S102 - our own manual
    assert capsys.readouterr().out == "2 rows of ['camera', 'plc']\n{'NO_DEVICE': 1}\n"


def test_every_reason_and_bound_is_told() -> None:
    """With its value."""
    bounds = Bounds()
    wanted = [f"`{reason.name}`" for reason in Passed]
    wanted += [f"| {bounds.devices:,} |", f"| {bounds.peers:,}, {bounds.all_peers:,} |", f"| {MOST_NETWORKS} |"]
    assert [said for said in wanted if said not in PAGE] == []
