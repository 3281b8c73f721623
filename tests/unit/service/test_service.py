"""The service, as far as it can be seen without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.alerts import Cursor
from spikebridge.app import Service
from spikebridge.config import load_config
from spikebridge.logs.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_reader_whose_sink_is_gone_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Retention waits for it until the alert log is full: whoever took the sink away has to hear of it before."""
    (tmp_path / "spikebridge.yaml").write_text("data: data\nsinks: {store: {type: store}}\n")
    with Spool(tmp_path / "data") as spool:
        for reader in ("incidents", "deliver:store", "deliver:gone"):
            spool.advance(reader, Cursor(0))

    with caplog.at_level("WARNING"), Service(load_config(tmp_path / "spikebridge.yaml", {})):
        pass
    told = "deliver:gone has no sink in this configuration, and alerts are kept for it; give it up with `spikebridge forget deliver:gone`"
    assert [record.getMessage() for record in caplog.records] == [told]
