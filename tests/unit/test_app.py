"""The service: configuration in, running service out."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from spikebridge.alerts import AlertEntry, read_finding
from spikebridge.app import Parts, Service, Stages, read_status
from spikebridge.config import load_config
from spikebridge.errors import ContentError, LogBusy, LogFull, SpikebridgeError
from spikebridge.logs.spool import Spool
from spikebridge.spikes.frame import Head, encode_events
from spikebridge.store import Query, Store, sink_letter
from spikebridge.testing import FlakySink, MemorySink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from spikebridge.config import Config
    from spikebridge.config import Sink as SinkConfig
    from spikebridge.delivery import Sink
    from spikebridge.logs import Commit

CONFIG = """
data: data
mappings: [mappings.yaml]
sinks:
  store: {type: store}
  lines: {type: file, path: lines.jsonl}
"""

BURST = "mappings:\n- {neuron_id: 42, threat_type: Burst, severity: High}\n"
SCAN = "mappings:\n- {neuron_id: 42, threat_type: Scan, severity: Low}\n"
WRONG = "mappings:\n- {neuron_id: 42, threat_type: Burst, severity: Hgih}\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give a directory with a configuration and one mapping."""
    (tmp_path / "spikebridge.yaml").write_text(CONFIG)
    (tmp_path / "mappings.yaml").write_text(BURST)
    return tmp_path


def config_of(site: Path) -> Config:
    """Load the configuration with nothing from the environment."""
    return load_config(site / "spikebridge.yaml", {})


def spike(device: str, seq: int = 1) -> bytes:
    """Return a record that the mapping knows."""
    return encode_events(Head(device=device, start_ns=time.time_ns(), boot=1, seq=seq), [42], [0])


def drain(site: Path, *, stages: str = "", parts: Parts | None = None) -> None:
    """Do what `run --once` does."""
    config = config_of(site)
    with Service(config, Stages.parse(stages, config.sinks), parts) as service:
        service.drain(Event())


def threats(site: Path) -> list[str]:
    """Return the threats in the store, sorted."""
    with Store(site / "data", read_only=True) as store:
        return sorted(read_finding(entry.body).rule.threat for entry in store.findings(Query()))


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that another thread or process does."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.01)


@contextmanager
def running(service: Service) -> Iterator[None]:
    """Run a service beside the test."""
    stop = Event()
    thread = Thread(target=service.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        service.close()


def test_an_empty_log_is_drained_at_once(site: Path) -> None:
    """`--once` on a log without spikes raises nothing and ends, with its position committed."""
    drain(site)

    with Spool(site / "data", read_only=True) as spool:
        assert spool.committed() is not None
        assert spool.alert_bounds() == (0, 0)


def test_what_the_log_holds_reaches_every_sink(site: Path) -> None:
    """`--once` ends when the store and the file have each alert, and rubbish is a dead letter."""
    with Spool(site / "data") as spool:
        spool.append([spike("a"), b"rubbish", spike("b")])

    drain(site)
    drain(site)

    assert threats(site) == ["Burst", "Burst"]
    assert len((site / "lines.jsonl").read_text().splitlines()) == 2
    with Store(site / "data", read_only=True) as store:
        assert [letter.raw for letter in store.letters()] == [b"rubbish"]
        assert store.verify().bad is None


def test_once_delivers_every_letter_that_was_asked_for(site: Path) -> None:
    """However many they are, and though nothing else waits; one that this version can't read holds up neither them nor new alerts."""
    with Spool(site / "data") as spool:
        spool.append([spike("a")])
    drain(site)
    kind: Any = "decision"
    with Spool(site / "data") as spool, Store(site / "data") as store:
        (entry,) = spool.poll_alerts(0, 1)
        newer = sink_letter("lines", entry._replace(kind=kind), "newer", 1)
        ids = (f"letter-{number}" for number in range(250))
        others = (entry._replace(id=name, body=entry.body.replace(entry.id.encode(), name.encode())) for name in ids)
        store.bury([newer, *(sink_letter("lines", other, "bad", 1) for other in others)])
        store.retry(store.letter_ids())
        spool.append([spike("b")])

    drain(site)

    with Store(site / "data", read_only=True) as store:
        assert store.letters() == [msgspec.structs.replace(newer, wanted=True)]
    assert len((site / "lines.jsonl").read_text().splitlines()) == 1 + 250 + 1


def test_a_sink_is_drained_once_no_letter_waits(site: Path) -> None:
    """Its log being empty isn't enough: what was asked for is looked up later."""
    entry = AlertEntry("id", "alert", 1, (0, 5, 2), b"{}")
    config, sink = config_of(site), MemorySink()
    with Service(config, Stages.parse("deliver:lines", config.sinks), Parts(sink=lambda *_: sink)) as service:
        (courier,) = service.couriers
        assert courier.drained()
        service.store.bury([sink_letter("lines", entry, "bad", 1)])
        service.store.retry(service.store.letter_ids())
        assert not courier.drained()
        with running(service):
            until(courier.drained)
            assert (sink.findings, service.store.letters()) == ([entry], [])


def test_a_recording_is_read_once_as_a_log_of_its_own(site: Path) -> None:
    """Its alerts name the digest of its bytes, and a second run leaves it alone."""
    (site / "night.jsonl").write_text('{"device_id": "cam", "neuron_id": 42, "time": 1790000000}\n')
    with Spool(site / "data") as spool:
        log = spool.add_recording(site / "night.jsonl").id

    drain(site)
    drain(site)

    with Spool(site / "data", read_only=True) as spool:
        assert [recording.drained for recording in spool.recordings()] == [True]
        assert [log.encode() in entry.body for entry in spool.poll_alerts(0, 10)] == [True]


def test_stages_can_run_apart(site: Path) -> None:
    """Spikes in one process and delivery in others give what all stages in one process give."""
    with Spool(site / "data") as spool:
        spool.append([spike("a")])

    drain(site, stages="spikes")
    assert not (site / "lines.jsonl").exists()
    drain(site, stages="deliver:lines")
    assert len((site / "lines.jsonl").read_text().splitlines()) == 1
    assert threats(site) == []
    drain(site, stages="deliver")
    assert threats(site) == ["Burst"]


def test_an_unknown_stage_is_refused() -> None:
    """The message names what there is."""
    with pytest.raises(SpikebridgeError, match='--stages: expected spikes, incidents, deliver, deliver:store, found "sort"'):
        Stages.parse("spikes,sort", ["store"])


def test_a_second_service_on_one_spool_is_told_who_has_it(site: Path) -> None:
    """One spikes stage at a time, or the log would be matched twice."""
    config = config_of(site)
    with Service(config), pytest.raises(LogBusy, match=f"process {os.getpid()} runs the spikes stage"):
        Service(config)
    Service(config).close()


def test_wrong_mappings_at_the_first_start_are_the_end(site: Path) -> None:
    """Without any good revision there is nothing to run; the problems say where."""
    (site / "mappings.yaml").write_text(WRONG)

    with pytest.raises(ContentError, match=r"mappings.yaml:2:\d+: .*severity: expected .*Hgih"):
        Service(config_of(site))


def test_wrong_mappings_at_a_later_start_keep_the_last_good_revision(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The service starts, says so, and goes on with what held before."""
    drain(site)
    (site / "mappings.yaml").write_text(WRONG)
    with Spool(site / "data") as spool:
        spool.append([spike("a")])

    with caplog.at_level(logging.ERROR):
        drain(site)

    assert threats(site) == ["Burst"]
    assert "revision 1 stays in force" in caplog.text
    status = read_status(site / "data")
    assert status is not None
    assert "Hgih" in status.refused[0]


def test_an_edit_comes_into_force_while_the_service_runs(site: Path) -> None:
    """A wrong one changes nothing and is shown; the next good one becomes a revision and holds from there on."""
    service = Service(config_of(site))
    with running(service):
        service.spool.append([spike("a")])
        until(lambda: service.spool.alert_bounds()[1] == 1)
        (site / "mappings.yaml").write_text(WRONG)
        until(lambda: (status := read_status(site / "data")) and status.refused)
        assert service.spool.newest() == 1

        (site / "mappings.yaml").write_text(SCAN)
        until(lambda: service.spool.newest() == 2)
        until(lambda: (status := read_status(site / "data")) and status.revision == 2)
        service.spool.append([spike("b")])
        until(lambda: service.spool.alert_bounds()[1] == 2)

    drain(site)
    assert threats(site) == ["Burst", "Scan"]
    with Store(site / "data", read_only=True) as store:
        events = [row.event for row in store.audit() if row.event.startswith("revision")]
    assert sorted(events) == ["revision published", "revision published", "revision refused"]


def test_a_directory_of_mappings_that_is_replaced_is_still_watched(site: Path) -> None:
    """Deployments rename whole directories into place."""
    (site / "spikebridge.yaml").write_text("data: data\nmappings: [rules]\n")
    (site / "rules").mkdir()
    (site / "rules" / "one.yaml").write_text(BURST)
    service = Service(config_of(site))
    with running(service):
        until(lambda: service.spool.newest() == 1)
        (site / "next").mkdir()
        (site / "next" / "one.yaml").write_text(SCAN)
        (site / "rules").rename(site / "before")
        (site / "next").rename(site / "rules")
        until(lambda: service.spool.newest() == 2)


class Failing(Spool):
    """A spool on a disk that takes no alerts for the first three attempts."""

    left = 3

    def commit(self, entries: Sequence[AlertEntry], commit: Commit, *, certain: bool = True) -> None:
        """Fail, as long as it has to."""
        if entries and self.left:
            self.left -= 1
            raise LogFull("the disk takes no more")
        super().commit(entries, commit, certain=certain)


def test_a_full_disk_loses_no_alert(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The spikes stage says what is wrong and tries again until its alerts are kept."""
    with Spool(site / "data") as spool:
        spool.append([spike("a"), spike("b")])

    with caplog.at_level(logging.ERROR):
        drain(site, parts=Parts(spool=lambda config: Failing(config.data)))

    assert threats(site) == ["Burst", "Burst"]
    assert "spikes: the disk takes no more; trying again" in caplog.text


def test_a_sink_that_is_away_touches_no_other(site: Path) -> None:
    """The other sink has its alert and the position is committed, while `status` and metrics name the one that is away."""
    away, here = FlakySink(away=1_000_000), MemorySink()

    def sink(sink: SinkConfig, _: Config) -> Sink:
        return away if sink.name == "lines" else here

    service = Service(config_of(site), parts=Parts(sink=sink))
    with running(service):
        service.spool.append([spike("a")])
        until(lambda: here.findings)
        until(lambda: any(stage.error for stage in service.errors()))
        assert [stage.name for stage in service.errors() if stage.error] == ["deliver:lines"]
        assert b'spikebridge_sink_up{sink="lines"} 0.0' in service.metrics.render()
        assert b'spikebridge_alerts_total{severity="High"} 1.0' in service.metrics.render()
    assert here.opened is False


def test_a_sink_that_is_away_ends_the_readiness_after_a_minute(site: Path) -> None:
    """A failed attempt is no reason to restart or to route elsewhere: an alert that has waited for a minute is, and so is a sink never opened."""
    with (site / "spikebridge.yaml").open("a") as file:
        file.write("metrics: {listen: '127.0.0.1:0'}\n")
    sinks, later_s = {"lines": FlakySink(), "store": FlakySink(away=1_000_000)}, [0]
    parts = Parts(sink=lambda sink, _: sinks[sink.name], clock=lambda: time.time_ns() + later_s[0] * 1_000_000_000)
    service = Service(config_of(site), parts=parts)
    with running(service):
        until(lambda: ready(service) == ["deliver:store: away for a while"])
        sinks["store"].away = 0
        until(lambda: ready(service) == ["ready"] and sinks["lines"].opened)
        sinks["lines"].away = 1_000_000
        service.spool.append([spike("a")])
        until(lambda: any(stage.error for stage in service.errors()))
        assert ready(service) == ["ready"]
        later_s[0] = 61
        (said,) = ready(service)
        assert re.fullmatch(r"deliver:lines: 1 entries wait, the oldest for \d+ s: away for a while", said)
        sinks["lines"].away = 0
        until(lambda: ready(service) == ["ready"])


def ready(service: Service) -> list[str]:
    """Return what /readyz says, line by line."""
    assert service.health is not None
    connection = HTTPConnection("127.0.0.1", service.health.port, timeout=10)
    connection.request("GET", "/readyz")
    said = connection.getresponse().read().decode().splitlines()
    connection.close()
    return said


def test_a_position_is_committed_though_nothing_is_raised(site: Path) -> None:
    """Within a second or two, so that a restart reads little again."""
    service = Service(config_of(site))
    with running(service):
        service.spool.append([b"rubbish"])
        until(lambda: (commit := service.spool.committed()) and commit.position >= 1)


def test_services_with_stages_of_their_own_say_how_all_of_them_are(site: Path) -> None:
    """On one data directory, as `--stages` has it; none speaks over another."""
    config = config_of(site)
    spikes, delivers = (Service(config, Stages.parse(text, config.sinks)) for text in ("spikes,incidents", "deliver"))
    with running(spikes), running(delivers):
        names = {stage.name for stage in spikes.errors() + delivers.errors()}
        until(lambda: (status := read_status(site / "data")) and {stage.name for stage in status.stages} == names)


def test_sigterm_ends_the_service_in_order(site: Path) -> None:
    """It exits 0 with every record that it has read committed, says that it stopped, and lets the next one start."""
    command = [sys.executable, "-m", "spikebridge", "run", "--config", str(site / "spikebridge.yaml")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until(lambda: (status := read_status(site / "data")) and status.running)
        with Spool(site / "data") as spool:
            spool.append([spike("a"), b"rubbish"])
            until(lambda: spool.alert_bounds()[1] == 1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            commit, end = spool.committed(), spool.bounds()[1]
    finally:
        process.kill()
        process.wait()

    assert commit is not None
    assert commit.position == end
    status = read_status(site / "data")
    assert status is not None
    assert not status.running


def test_a_second_run_exits_2_and_names_the_first(site: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In one line, without a traceback."""
    with Service(config_of(site)):
        command = [sys.executable, "-m", "spikebridge", "run", "--once", "--config", str(site / "spikebridge.yaml")]
        assert subprocess.run(command, check=False, timeout=60).returncode == 2

    assert f"process {os.getpid()} runs the spikes stage of this spool; stop it first" in capfd.readouterr().err
