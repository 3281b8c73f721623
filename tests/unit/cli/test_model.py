"""`spikebridge model`: from a new key to a model that may be run, and back to what is in it."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pytest
from tests.reference.models import unsigned

from spikebridge import cli
from spikebridge_detectors import shipped


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """Give a directory with an unsigned model and a key in `trusted`, to work in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pump.spike").write_bytes(unsigned())
    (tmp_path / "trusted").mkdir()
    assert cli.main(["model", "keygen", "trusted/release"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "trusted/release.key: sign with it, and keep it away from machines that run models"
    assert said[1].startswith("trusted/release.pub: key ")
    return tmp_path


def test_a_model_is_signed_and_verified(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In place, or beside what it was made from."""
    assert cli.main(["model", "verify", "pump.spike", "--keys", "trusted"]) == 1
    assert capsys.readouterr().out.startswith("pump.spike: unsigned: expected a signature by a trusted key")

    assert cli.main(["model", "sign", "pump.spike", "--key", "trusted/release.key", "--out", "signed.spike"]) == 0
    assert capsys.readouterr().out.startswith("signed.spike: pump version 3, 1,")
    assert (place / "pump.spike").read_bytes() == unsigned()
    assert cli.main(["model", "sign", "pump.spike", "--key", "trusted/release.key"]) == 0
    assert (place / "pump.spike").read_bytes() == (place / "signed.spike").read_bytes()

    capsys.readouterr()
    assert cli.main(["model", "verify", "pump.spike", "--keys", "trusted"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("pump.spike: pump version 3, unchanged since key ")
    assert said.endswith(" signed it; self-test passed\n")


def test_a_model_that_is_older_is_a_finding(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also for a machine that reads."""
    (place / "old.spike").write_bytes(unsigned(version=2))
    for name in ("pump.spike", "old.spike"):
        assert cli.main(["model", "sign", name, "--key", "trusted/release.key"]) == 0
    capsys.readouterr()

    assert cli.main(["model", "verify", "old.spike", "--keys", "trusted", "--replaces", "pump.spike", "--json"]) == 1
    fault = "pump: expected a version above 3, which it replaces, found 2: an older one"
    assert json.loads(capsys.readouterr().out) == {"good": False, "fault": fault}
    assert cli.main(["model", "verify", "pump.spike", "--keys", "trusted", "--replaces", "old.spike", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said.pop("key")[:1] != "", said) == (True, {"good": True, "name": "pump", "version": 3})


def test_what_is_no_model_is_not_signed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is a model whose self-test fails; the file stays as it is."""
    broken = bytearray(unsigned())
    broken[-1] ^= 0xFF
    for data, reason in ((b"spikes", "expected at least 20 bytes, found 6"), (bytes(broken), "self-test: expected the ")):
        (place / "pump.spike").write_bytes(data)
        assert cli.main(["model", "sign", "pump.spike", "--key", "trusted/release.key"]) == 2
        assert f"pump.spike: {reason}" in capsys.readouterr().err
        assert (place / "pump.spike").read_bytes() == data


def test_a_key_is_never_written_over(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second one is told so."""
    before = (place / "trusted" / "release.key").read_bytes()
    assert cli.main(["model", "keygen", "trusted/release"]) == 2
    assert "expected no such file; keys are never written over" in capsys.readouterr().err
    assert (place / "trusted" / "release.key").read_bytes() == before


def test_what_is_in_a_model_is_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the sizes of its parts, and that nobody looked at the signature."""
    assert cli.main(["model", "inspect", "pump.spike"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("pump version 3: Finds a pump that no longer sounds like one.\nsha256 ")
    assert (
        "\nunsigned\nfor old-pump, pump; 5 inputs of the encoder delta\noutputs 90 smooth, 91 loose\nruns in the service\n"
        in said
    )
    assert "hidden  5       8      mixed, 8 bits" in said

    assert cli.main(["model", "sign", "pump.spike", "--key", "trusted/release.key"]) == 0
    capsys.readouterr()
    assert cli.main(["model", "inspect", "pump.spike"]) == 0
    assert "signed it, which nobody has verified here" in capsys.readouterr().out
    assert cli.main(["model", "inspect", "pump.spike", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["header"]["outputs"][0] == {"name": "smooth", "neuron": 90, "layer": "out", "unit": 1}
    assert told["sizes"]["file"] == len((place / "pump.spike").read_bytes())
    assert told["sizes"]["layer hidden"] == 40 + 16
    assert len(told["key"]) == 64


def test_a_file_that_is_not_there_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its name."""
    assert cli.main(["model", "inspect", "absent.spike"]) == 2
    assert capsys.readouterr().err == "spikebridge: absent.spike: No such file or directory\n"


def test_a_model_is_exchanged(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Out and in again, each time with the number of spikes that differ; what comes in is unsigned."""
    assert cli.main(["model", "export", "pump.spike", "--out", "pump.nir"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "pump.nir: 33 spikes for the recorded input, of which 0 differ in floating point"
    assert second == "pump.nir: it has biases: snnTorch refuses the file, and Norse has other spikes"

    taken = ["model", "import", "pump.nir", "--like", "pump.spike", "--version", "4", "--data", "our pumps", "--out", "new.spike"]
    assert cli.main(taken) == 0
    said = "new.spike: 33 spikes for the recorded input, of which 0 differ in pump.nir; unsigned\n"
    assert capsys.readouterr().out == said
    assert cli.main(["model", "inspect", "new.spike", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["header"]
    assert (told["version"], told["training"]["data"], len(told["training"]["sha256"])) == (4, "our pumps", 64)

    assert cli.main([*taken[:2], "pump.spike", *taken[3:]]) == 2
    assert "pump.spike: no NIR file that can be used" in capsys.readouterr().err


def test_a_model_that_ships_is_listed_and_needs_no_key(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it lies, what it finds, and that it is as it shipped; another model without a key is refused."""
    assert cli.main(["list", "models", "--json"]) == 0
    found = {Path(one["name"]).name: one for one in json.loads(capsys.readouterr().out)}
    rhythm = found["rhythm.spike"]
    assert rhythm["summary"].startswith("Bursts, port scans and beacons")
    assert cli.main(["list", "models"]) == 0
    place_of, _, first, *_ = capsys.readouterr().out.splitlines()
    assert place_of == f"in {Path(rhythm['name']).parent}:"
    assert first.startswith("rhythm.spike ")

    assert cli.main(["model", "verify", rhythm["name"]]) == 0
    assert capsys.readouterr().out.endswith("rhythm version 1, unchanged since it shipped; self-test passed\n")
    for action in ("verify", "inspect"):
        assert cli.main(["model", action, "rhythm.spike"]) == 0
        assert "rhythm version 1" in capsys.readouterr().out
    assert cli.main(["model", "verify", "pump.spike"]) == 1
    assert capsys.readouterr().out.startswith("pump.spike: unsigned: expected a signature by a trusted key")


def test_a_model_is_compared_with_every_engine(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spike for spike; what isn't here is said with the reason, and is no failure."""
    monkeypatch.setenv("SPIKEBRIDGE_PYTHON310", "/nowhere")
    assert cli.main(["model", "compare", "pump.spike", "--lava"]) == 0
    numpy, compiled, lava = capsys.readouterr().out.splitlines()

    assert numpy == "pump.spike: the network, for its recorded spikes, with NumPy and otherwise"
    assert compiled == "compiled: of 33 spikes 0 differ, and the states of 0 neurons"
    assert lava.startswith(
        "Lava: not run: expected a Python 3.10 with lava-nc 0.10.0, found none (SPIKEBRIDGE_PYTHON310=/nowhere)"
    )

    assert cli.main(["model", "compare", "pump.spike", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engines"] == {"compiled": {"spikes": 33, "differing": 0, "states": 0}}


def test_an_engine_with_other_spikes_fails_the_comparison(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With how many: here a stand-in for Lava that never fires, and whose neurons end at zero."""
    program = place / "python"
    answer = struct.pack("<I", 0) + bytes(4 * (2 * 2 + 3 * (8 + 2)))
    (place / "answer").write_bytes(answer)
    program.write_text(
        f'#!/bin/sh\ncase "$2" in -c) echo lava-nc 0.10.0 ;; *) cat >/dev/null; cat {place}/answer ;; esac\n', encoding="utf-8"
    )
    program.chmod(0o755)
    monkeypatch.setenv("SPIKEBRIDGE_PYTHON310", str(program))

    assert cli.main(["model", "compare", "pump.spike", "--lava"]) == 1
    assert "Lava: of 33 spikes 33 differ, and the states of 10 neurons" in capsys.readouterr().out


def test_networks_that_need_their_detector_are_compared_by_layers_and_not_exported(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their layers have sources and clocks that a chain hasn't: as a chain they would be another network."""
    timing = Path(shipped.__file__).with_name("timing.spike")
    assert cli.main(["model", "compare", str(timing)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{timing}: each layer alone, for spikes by luck")
    assert re.search(r"compiled: of \d[\d,]+ spikes 0 differ, and the states of 0 neurons", said)
    assert cli.main(["model", "export", str(timing), "--out", "timing.nir"]) == 2
    assert "this network needs its detector" in capsys.readouterr().err
