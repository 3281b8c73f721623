"""Models in a running service: from the configuration to an alert that replays, and a wrong model never takes it down."""

from __future__ import annotations

import json
import logging
import re
import time
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from tests.reference.detection import LINES, small
from tests.reference.models import KEY

from spikebridge import cli
from spikebridge.app import Service, Stages
from spikebridge.config import load_config
from spikebridge.errors import ContentError
from spikebridge.logs.spool import Spool
from spikebridge.mapping.rules import read_revision
from spikebridge.spikes.batch import ROLE_INPUT
from spikebridge.spikes.frame import Head, encode_window
from spikebridge.store import Query, Store
from spikebridge_detectors.model.container import split
from spikebridge_detectors.model.keys import signed
from spikebridge_detectors.shipped.pins import place

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONFIG = """
data: data
mappings: [mappings.yaml]
inventory: inventory.yaml
models: ["models/*.spike"]
model_keys: keys
sinks: {store: {type: store}}
"""
MAPPING = "mappings:\n- {neuron_id: 5, layer: out, threat_type: Odd_Sound, severity: High}\n"
INVENTORY = "classes: {cam: {}}\ndevices:\n- {id: cam-1, class: cam}\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give a directory with a configuration, a mapping, a trusted key and a model that it signed."""
    for name, text in (("spikebridge.yaml", CONFIG), ("mappings.yaml", MAPPING), ("inventory.yaml", INVENTORY)):
        (tmp_path / name).write_text(text)
    for name in ("models", "keys"):
        (tmp_path / name).mkdir()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "keys" / "release.pub").write_bytes(KEY.public_key().public_bytes(serialization.Encoding.PEM, form))
    put(tmp_path, 2)
    return tmp_path


def put(site: Path, version: int, data: bytes = b"") -> None:
    """Put a version of the model, or other bytes, in place as careful programs do: whole."""
    part = site / "models" / "cam.part"
    part.write_bytes(data or signed(split(small("cam", ("cam",), version=version).file), KEY))
    part.replace(site / "models" / "cam.spike")


def service(site: Path) -> Service:
    """Make the service of the site."""
    config = load_config(site / "spikebridge.yaml", {})
    return Service(config, Stages.parse("", config.sinks))


def versions(site: Path) -> list[int]:
    """Return the versions of the model in the revisions so far."""
    with Spool(site / "data", read_only=True) as spool:
        numbers = range(1, (spool.newest() or 0) + 1)
        found = [read_revision(number, spool.revision(number) or b"") for number in numbers]
    return [one.rule_set.model_files[0].version for one in found]


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that another thread does."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.02)


def sense(site: Path) -> None:
    """Run the service over one frame of raw spikes that raises an alert."""
    frame = encode_window(
        Head(device="cam-1", start_ns=time.time_ns(), step_ns=10**8, role=ROLE_INPUT), range(LINES), [[0x0F0F_FFFF]] * LINES
    )
    with service(site) as made:
        made.drain(Event())
    with Spool(site / "data") as spool:
        spool.append([frame])
    with service(site) as made:
        made.drain(Event())


def alert_of(site: Path) -> str:
    """Return the id of the one alert that the store holds."""
    with Store(site / "data", read_only=True) as store:
        [entry] = store.findings(Query())
    return entry.id


def test_raw_spikes_in_the_log_become_an_alert_that_replays(
    site: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Through the service and its store; `replay` finds the model in the revision, not in the files, and runs it on each engine."""
    caplog.set_level(logging.DEBUG)
    sense(site)
    ready, began = (
        next(at for at, line in enumerate(caplog.messages) if text in line)
        for text in ("networks run compiled, ready after", "with revision 1")
    )
    assert ready < began
    (site / "models" / "cam.spike").unlink()
    given = [alert_of(site), "--data", str(site / "data")]

    assert cli.main(["replay", *given, "--without-lava"]) == 0
    told, first, second = capsys.readouterr().out.splitlines()
    assert told == f"same: alert {given[0]} from 1 record, revision 1"
    assert re.fullmatch(r"  NumPy: same: \d+ spikes of the network", first)
    assert second == first.replace("NumPy", "compiled")
    assert cli.main(["explain", *given]) == 0
    assert "as model cam 2 read its raw spikes" in capsys.readouterr().out


def test_without_a_python_for_lava_the_other_engines_replay(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What isn't here is named with the reason, and is no difference."""
    sense(site)
    monkeypatch.setenv("SPIKEBRIDGE_PYTHON310", str(site / "missing"))

    assert cli.main(["replay", alert_of(site), "--data", str(site / "data"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["differences"]) == ("same", [])
    assert [(one["engine"], one["verdict"], one["differing"]) for one in told["engines"]] == [
        ("NumPy", "same", 0),
        ("compiled", "same", 0),
        ("Lava", "not run", 0),
    ]
    assert "expected a Python 3.10" in told["engines"][2]["why"]


def test_a_running_service_takes_a_new_model_and_refuses_a_wrong_one_whole(site: Path) -> None:
    """An older one, a spoilt one and a stranger's change nothing; the next good one comes into force."""
    stop = Event()
    made = service(site)
    thread = Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        until(lambda: (site / "data").exists() and versions(site) == [2])
        put(site, 3)
        until(lambda: versions(site) == [2, 3])
        put(site, 1)
        until(lambda: len(refusals(site)) == 1)
        put(site, 0, b"rubbish")
        until(lambda: len(refusals(site)) == 2)
        put(site, 4)
        until(lambda: versions(site) == [2, 3, 4])
    finally:
        stop.set()
        thread.join()
        made.close()

    older, spoilt = refusals(site)
    assert older.endswith("cam.spike:1:1: cam: expected a version above 3, which it replaces, found 1: an older one")
    assert spoilt.endswith("cam.spike:1:1: expected at least 20 bytes, found 7: truncated, or no model")


def refusals(site: Path) -> list[str]:
    """Return what the audit log says of edits that were refused, the oldest first."""
    with Store(site / "data", read_only=True) as store:
        rows = sorted(row for row in store.audit() if row.event == "revision refused")
    return [json.loads(row.detail)["problems"][0] for row in rows]


def test_publish_and_check_know_models(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` lists them, `publish` carries them, and neither lets one go back."""
    config = str(site / "spikebridge.yaml")
    assert cli.main(["check", config]) == 0
    digest = small("cam", ("cam",), version=2).digest
    assert [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("cam")] == [
        ["cam", "2", "cam", f"{(site / 'models' / 'cam.spike').stat().st_size}", "B", digest[:16]]
    ]
    assert cli.main(["publish", "--config", config]) == 0
    assert capsys.readouterr().out == "revision 1 published: 1 rule, 0 incident rules, 1 device, 1 model\n"
    assert cli.main(["publish", "--config", config, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == [{"name": "cam", "version": 2, "digest": digest}]
    put(site, 1)
    assert cli.main(["publish", "--config", config]) == 2
    assert "expected a version above 2, which it replaces, found 1: an older one" in capsys.readouterr().err


def test_backtest_reads_raw_spikes_with_the_configured_models(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of mappings is tried with them, so that an alert of a model isn't shown as lost."""
    sense(site)
    arguments = ["backtest", "1", str(site / "mappings.yaml"), "--config", str(site / "spikebridge.yaml"), "--json"]

    assert cli.main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["same"], told["gained"], told["lost"]) == (1, [], [])


def test_convert_reads_raw_spikes_with_the_models_of_a_configuration(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under its tenant, mappings and inventory; without one it says that nothing read them, and nothing is left behind."""
    (site / "spikebridge.yaml").write_text(f"tenant: plant\n{CONFIG}")
    head = Head(device="cam-1", start_ns=1_790_000_000 * 10**9, step_ns=10**8, role=ROLE_INPUT)
    (site / "raw.spk").write_bytes(encode_window(head, range(LINES), [[0x0F0F_FFFF]] * LINES))
    before = sorted(site.iterdir())

    assert cli.main(["convert", str(site / "raw.spk"), "--config", str(site / "spikebridge.yaml")]) == 0
    told = capsys.readouterr()
    [document] = [json.loads(line) for line in told.out.splitlines()]
    assert (document["tenant"], document["device"]["id"], document["rule"]["threat"]) == ("plant", "cam-1", "Odd_Sound")
    assert document["model_digest"] == small("cam", ("cam",), version=2).digest[:16]
    assert told.err == ""

    assert cli.main(["convert", str(site / "raw.spk"), "--mappings", str(site / "mappings.yaml")]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        f"{site / 'raw.spk'}: 1 frame of raw sensor spikes read by no model: "
        "--config names models, the inventory gives each device its class\n"
    )
    assert sorted(site.iterdir()) == before


def test_a_model_that_ships_needs_no_key(site: Path) -> None:
    """It is known by its digest; one byte more and it isn't."""
    (site / "models" / "cam.spike").unlink()
    shipped = place("rhythm.spike").read_bytes()
    (site / "models" / "rhythm.spike").write_bytes(shipped)
    (site / "spikebridge.yaml").write_text(CONFIG.replace("model_keys: keys\n", ""))
    with service(site) as made:
        made.drain(Event())
    with Spool(site / "data", read_only=True) as spool:
        [model] = read_revision(1, spool.revision(1) or b"").rule_set.model_files
    assert model.name == "rhythm"

    (site / "data").rename(site / "before")
    (site / "models" / "rhythm.spike").write_bytes(shipped[:-1] + bytes([shipped[-1] ^ 1]))
    with pytest.raises(ContentError, match=r"rhythm\.spike:1:1: "):
        service(site)
