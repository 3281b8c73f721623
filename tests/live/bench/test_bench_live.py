"""`spikebridge bench live` measures what it says, at a size that proves nothing about speed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.live.bench.__main__ import wanted

from spikebridge.bench.live.rows import ROWS

if TYPE_CHECKING:
    from tests.live.servers.kafka import Cluster

pytestmark = pytest.mark.live_full
LIMIT_S = 280


@pytest.mark.timeout(300)
def test_frames_become_alerts_and_events_documents_that_equal_the_peers(kafka: Cluster) -> None:
    """Both clients, and whoever is installed here; the row would fail if an alert were missing or a document differed."""
    command = [sys.executable, "-m", "spikebridge", "bench", "live", "--kafka", kafka.bootstrap(), "--size", "0.02", "--json"]
    done = subprocess.run([*command, "json", "correctness"], check=False, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    lines = {line["name"]: line for line in json.loads(done.stdout)["lines"]}
    for client in ("kafka-python", "confluent"):
        assert lines[f"json_spikebridge_{client}"]["value"] > 0, done.stderr
        for kind in ("kill", "poison"):
            line = lines[f"{kind}_spikebridge_{client}"]
            assert (line["value"], line["conditions"]["twice"], line["conditions"]["not_expected"]) == (0, 0, 0)


def test_the_rows_that_are_wanted_decide_which_servers_start() -> None:
    """Values of options are no rows; without any, all are wanted."""
    assert wanted(["frames", "--size", "0.1", "--json", "latency"]) == ["frames", "latency"]
    assert wanted(["--repeats", "3"]) == list(ROWS)
