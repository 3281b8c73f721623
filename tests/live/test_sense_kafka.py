"""`spikebridge sense` into a real broker: frames with their evidence, and nothing missing when its process is killed."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.live.kafka_places import everything
from tests.live.running import STAMPED
from tests.live.servers.kafka import Cluster
from tests.live.servers.missing import needed
from tests.sense_worker import POINTS
from tests.unit.detectors.sensing import as_table, attacked

from spikebridge import cli
from spikebridge.limits import Limits
from spikebridge.mapping.admission import Duplicates
from spikebridge.spikes.decode import Decoder
from spikebridge.spikes.files import read_values
from spikebridge.spikes.frame import unpack
from spikebridge.spikes.names import Devices, Layers
from spikebridge_detectors.evidence import read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spikebridge.spikes.record import Record

PATIENCE_S = 120


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Write the days of a device that is attacked on the fourth."""
    path = tmp_path / "week.csv"
    path.write_text(as_table(attacked()))
    return path


def configured(kafka: Cluster, folder: Path, library: str) -> tuple[str, Path]:
    """Make a topic, and a configuration whose log `plant` it is."""
    topic = f"spikes-{secrets.token_hex(4)}"
    kafka.create_topic(topic, 1, **STAMPED)
    folder.mkdir(exist_ok=True)
    config = folder / "spikebridge.yaml"
    log = {"type": "kafka", "client": library, "servers": kafka.bootstrap().split(","), "topics": [topic]}
    config.write_text(json.dumps({"logs": {"plant": log}}))
    return topic, config


def once(records: Sequence[Record]) -> list[bytes]:
    """Return the records that the log's check for duplicates doesn't drop."""
    batch = Decoder(Devices(), Layers(), Limits().frame_ns).decode(records)
    assert not batch.refused
    twice = Duplicates(Limits()).find(batch, np.arange(len(records)), batch.append_ns[batch.record])
    return [record.value for record, again in zip(records, twice.tolist(), strict=True) if not again]


def test_frames_of_alarms_reach_a_topic_with_their_evidence(kafka: Cluster, table: Path, tmp_path: Path, library: str) -> None:
    """Under the key of their device, with the bytes that a file of frames gets."""
    topic, config = configured(kafka, tmp_path, library)
    given = ["--table", str(table), "--learn", "3d"]
    (tmp_path / "empty.csv").write_text(table.read_text().split("\n")[0] + "\n")
    begun = ["--table", str(tmp_path / "empty.csv"), "--to", str(tmp_path / "none.spk"), "--state", str(tmp_path / "file")]
    assert cli.main(["sense", *begun]) == 0
    shutil.copytree(tmp_path / "file", tmp_path / "topic")
    assert cli.main(["sense", *given, "--to", "kafka:plant", "--config", str(config), "--state", str(tmp_path / "topic")]) == 0
    assert cli.main(["sense", *given, "--to", str(tmp_path / "found.spk"), "--state", str(tmp_path / "file")]) == 0
    records = everything(kafka, topic)
    with (tmp_path / "found.spk").open("rb") as file:
        assert [record.value for record in records] == [value for _, value in read_values(file)]
    assert {record.key for record in records} == {b"meter"}
    frames = [unpack(record.value, 1) for record in records]
    said = [(frame, read(frame.evidence).said) for frame in frames if len(frame.neurons)]
    assert {48, 50, 52, 53, 54} <= {one.neuron for _, one in said}
    assert all(([one.neuron], one.time_ns) == (frame.neurons.tolist(), frame.head.start_ns) for frame, one in said)
    assert not any(frame.evidence for frame in frames if not len(frame.neurons))


def test_a_broker_that_is_away_is_waited_for(
    table: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, library: str
) -> None:
    """That is said, and once it is back it gets every frame once."""
    with needed(), Cluster(tmp_path_factory.mktemp("away")) as cluster:
        topic, config = configured(cluster, tmp_path, library)
        cluster.brokers[0].kill()
        given = ["--table", str(table), "--learn", "3d", "--to", "kafka:plant", "--config", str(config)]
        command = [sys.executable, "-m", "spikebridge", "sense", *given, "--state", str(tmp_path / "state")]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as sensing:
            assert sensing.stderr
            said = next((line for line in sensing.stderr if line.startswith("waits: ")), "")
            cluster.brokers[0].start()
            rest = sensing.stderr.read()
            assert sensing.wait(PATIENCE_S) == 0, rest
        assert said
        frames = [unpack(value, 1) for value in once(everything(cluster, topic))]
    assert [frame.head.seq for frame in frames] == list(range(len(frames)))
    assert f"sent {len(frames):,} frames" in rest


def test_a_process_that_is_killed_loses_nothing_and_repeats_only_what_the_log_drops(
    kafka: Cluster, table: Path, tmp_path: Path, library: str
) -> None:
    """Before and after a broker has the frames, and before and after that is saved."""
    start = [sys.executable, "-m", "tests.sense_worker"]
    (whole_topic, whole), (topic, killed) = (configured(kafka, tmp_path / name, library) for name in ("whole", "killed"))
    first = [*start, str(killed.parent), str(table), "after_save", "1", str(killed)]
    assert subprocess.run(first, check=False, timeout=PATIENCE_S).returncode == -signal.SIGKILL
    shutil.copytree(killed.parent / "state", whole.parent / "state")
    subprocess.run([*start, str(whole.parent), str(table), "never", "1", str(whole)], check=True, timeout=PATIENCE_S)
    for point in POINTS:
        died = [*start, str(killed.parent), str(table), point, "3", str(killed)]
        assert subprocess.run(died, check=False, timeout=PATIENCE_S).returncode == -signal.SIGKILL
    subprocess.run([*start, str(killed.parent), str(table), "never", "1", str(killed)], check=True, timeout=PATIENCE_S)
    expected, found = everything(kafka, whole_topic), everything(kafka, topic)
    assert {48, 50, 52, 53, 54} <= {neuron for one in expected for neuron in unpack(one.value, 1).neurons.tolist()}
    assert once(found) == [record.value for record in expected]
    assert len(found) > len(expected)
