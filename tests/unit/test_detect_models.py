"""Models of a configuration: verified, fit for the service, part of the revision; whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from tests.reference.detection import small
from tests.reference.models import KEY, STRANGER, header, retold, unsigned, whole

from spikebridge.canonical import sha256
from spikebridge.detect.file import ModelFile
from spikebridge.detect.load import MOST_MODELS, load_models
from spikebridge.detect.served import lines_of, serving
from spikebridge.errors import ContentError, SchemaError
from spikebridge.limits import MODELS_VERSION, PLAIN_VERSION, SECOND, Limits
from spikebridge.mapping.load import Source, load_sources
from spikebridge.mapping.rules import RuleSet, read_revision, rule_set_content
from spikebridge_detectors.model.container import split
from spikebridge_detectors.model.header import Window
from spikebridge_detectors.model.keys import signed
from spikebridge_detectors.shipped.pins import shipped

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

MAPPING = Source("m.yaml", "mappings:\n- {neuron_id: 3, threat_type: Loose, severity: High, when: {count: 2, within: WITHIN}}\n")


def trust(directory: Path, key: ec.EllipticCurvePrivateKey = KEY) -> Path:
    """Write the public half of a key where an operator would."""
    directory.mkdir(exist_ok=True)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (directory / "one.pub").write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    return directory


def refused(tmp_path: Path, data: bytes, **other: Any) -> str:
    """Return what is said of a model that is refused."""
    (tmp_path / "pump.spike").write_bytes(data)
    with pytest.raises(ContentError) as caught:
        load_models([tmp_path / "pump.spike"], trust(tmp_path / "keys"), **other)
    return str(caught.value).replace(str(tmp_path), "")


def test_a_signed_model_is_taken_whole(tmp_path: Path) -> None:
    """Its name, version, digest and classes stand beside its bytes."""
    (tmp_path / "pump.spike").write_bytes(whole())
    [found] = load_models([tmp_path / "*.spike"], trust(tmp_path / "keys"))

    assert (found.name, found.version, found.classes, found.file) == ("pump", 3, ("old-pump", "pump"), whole())
    assert found.digest == sha256(split(whole()).content)
    old, new = serving([found])["old-pump"], serving([found])["pump"]
    assert (old.network.layers[1].vth, new.network.layers[1].vth) == (400, 300)
    assert (old.layer, old.neurons.tolist(), old.memory_ns) == ("out", [one.neuron for one in header().outputs], 60 * SECOND)


def test_what_nobody_trusted_has_signed_is_refused_with_its_file(tmp_path: Path) -> None:
    """Unsigned, signed by a stranger, altered, truncated: each in its own words."""
    data = whole()

    assert refused(tmp_path, unsigned()).startswith("/pump.spike:1:1: unsigned: expected a signature")
    assert "signed by a key that is not trusted" in refused(tmp_path, signed(split(data), STRANGER))
    assert "altered: it is not what key" in refused(tmp_path, data[:40] + bytes([data[40] ^ 1]) + data[41:])
    assert "truncated" in refused(tmp_path, data[:-1])


def test_without_a_directory_of_keys_only_what_ships_is_trusted(tmp_path: Path) -> None:
    """A signature alone says nothing."""
    (tmp_path / "pump.spike").write_bytes(whole())

    with pytest.raises(
        ContentError,
        match=r"signed by a key that is not trusted: expected a directory of trusted keys to be named \(--keys, model_keys in a .*\), found ",
    ):
        load_models([tmp_path / "pump.spike"], None)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"memory_s": 0}, "memory_s: expected 1 to 300, found 0: this network runs in `sense`"),
        ({"memory_s": 301}, "memory_s: expected 1 to 300, found 301: this network runs in `sense`"),
        ({"layers.1.step_ns": 1_000}, "layer out: expected spikes of hidden alone, on its clock: this network runs in `sense`"),
        (
            {"layers.0.step_ns": 1_000_000, "layers.1.step_ns": 1_000_000},
            "memory_s: expected at most 32,768 steps, found 60,000: this network runs in `sense`",
        ),
        ({"window": {"steps": 32_767, "flush": 2}}, "window: expected at most 32,768 steps with the flush, found 32,769"),
    ],
)
def test_what_the_service_can_not_run_is_refused_and_said(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    """A memory that the log can't be, clocks that differ, more steps than one frame may cost."""
    assert refused(tmp_path, retold(change, whole())) == f"/pump.spike:1:1: {expected}"


def test_a_model_that_answers_otherwise_than_when_it_was_made_is_refused(tmp_path: Path) -> None:
    """The self-test runs before anything counts."""
    assert "self-test: expected the" in refused(tmp_path, retold({"layers.1.vth": 100}, whole()))


def test_no_model_goes_back_and_no_class_has_two(tmp_path: Path) -> None:
    """The version rises against the revision in force; the second model of a class names the first."""
    (tmp_path / "pump.spike").write_bytes(whole(version=4))
    before = load_models([tmp_path / "pump.spike"], trust(tmp_path / "keys"))

    assert "expected a version above 4, which it replaces, found 3: an older one" in refused(tmp_path, whole(), before=before)
    (tmp_path / "other.spike").write_bytes(whole(name="other", classes={"pump": {}}))
    (tmp_path / "pump.spike").write_bytes(whole())
    with pytest.raises(ContentError) as caught:
        load_models([tmp_path / "*.spike"], tmp_path / "keys")
    [problem] = caught.value.problems
    assert (problem.file, problem.message) == (
        str(tmp_path / "pump.spike"),
        f'expected one model for the device class "pump", found another one: {tmp_path / "other.spike"}',
    )


def test_a_model_of_timing_is_refused_in_one_line(tmp_path: Path) -> None:
    """Its nine layers are all unlike what the service runs, for the one reason that `sense` runs them."""
    (tmp_path / "timing.spike").write_bytes(shipped("timing.spike"))

    with pytest.raises(ContentError) as caught:
        load_models([tmp_path / "timing.spike"], None)
    assert [problem.message for problem in caught.value.problems] == [
        "memory_s: expected 1 to 300, found 0: this network runs in `sense`"
    ]


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    """A missing file, a pattern without files and keys that aren't there hide nothing of each other."""
    with pytest.raises(ContentError) as caught:
        load_models([tmp_path / "gone.spike", tmp_path / "no-*.spike"], tmp_path / "keys")

    assert [str(problem).replace(str(tmp_path), "") for problem in caught.value.problems] == [
        "/gone.spike:1:1: can't be read: No such file or directory",
        f"/keys:1:1: model_keys: {tmp_path}/keys: expected 1 to 64 public keys *.pub, found 0: put there the public keys of whom you trust".replace(
            str(tmp_path), ""
        ),
        "/no-*.spike:1:1: expected model files like this, found none",
    ]


def test_more_models_than_a_revision_holds_are_refused_before_any_is_read(tmp_path: Path) -> None:
    """Sixty-four are let in."""
    for number in range(MOST_MODELS + 1):
        (tmp_path / f"{number}.spike").write_bytes(b"")
    with pytest.raises(ContentError, match=r"models: expected at most 64 models, found 65"):
        load_models([tmp_path / "*.spike"], trust(tmp_path / "keys"))


def file_of(data: bytes, **other: Any) -> ModelFile:
    """Return a model of a revision, without asking who signed it."""
    envelope = split(data)
    said = msgspec.json.decode(envelope.header)
    found = ModelFile(
        name=said["name"], version=said["version"], digest=envelope.digest, classes=tuple(sorted(said["classes"])), file=data
    )
    return msgspec.structs.replace(found, **other)


def test_a_revision_without_models_has_the_bytes_that_it_always_had() -> None:
    """Its digest names it for ever; one with models says that it needs newer rules, and comes back as it was."""
    plain = rule_set_content(RuleSet())
    told = rule_set_content(load_sources([], models=[file_of(whole())]).rule_set)

    assert sha256(plain) == "07b9c07cb3dbad1bdd14abfc893aaa8800ef1ef31141a8e1aac648584e323862"
    assert read_revision(1, plain).rule_set.rules_version == PLAIN_VERSION
    again = read_revision(2, told).rule_set
    assert again.rules_version == MODELS_VERSION
    assert again.model_files == [file_of(whole())]
    assert rule_set_content(again) == told


def test_a_revision_whose_model_is_another_or_can_not_be_run_stops_whoever_reads_it() -> None:
    """The bytes must be what the revision says of them."""
    with pytest.raises(SchemaError, match="it isn't the one that the revision names"):
        lines_of(file_of(whole(), digest="ab" * 32))
    with pytest.raises(SchemaError, match="can't be run: memory_s"):
        lines_of(file_of(retold({"memory_s": 0}, whole())))
    with pytest.raises(SchemaError, match="can't be read"):
        lines_of(file_of(whole(), file=b"rubbish"))


def test_what_models_remember_is_taken_from_what_rules_may() -> None:
    """17 min remain of the look-back without models, one less beside a memory of a minute: windows from zero remember what they cost."""
    longest = [Source("m.yaml", str(MAPPING.content).replace("WITHIN", "15m"))]
    window = Window(steps=32, flush=2)
    for_each_event = small("cam", ("cam",), step_ns=None, window=window)

    assert load_sources(longest, None, Limits(), [for_each_event]).rule_set.rules
    for remembers in (file_of(whole()), small("cam", ("cam",), memory_s=60, window=window)):
        with pytest.raises(
            ContentError,
            match=r"look_back leaves 16m beside the 1m that models remember \(a longer `limits.look_back` leaves more\)",
        ):
            load_sources(longest, None, Limits(), [remembers])


def test_a_model_without_a_device_is_warned_of() -> None:
    """An inventory that doesn't name the class is the likeliest reason why nothing is read."""
    inventory = Source("i.yaml", "devices:\n- {id: hall, class: old-pump}\n")

    assert [str(one) for one in load_sources([], models=[file_of(whole())]).warnings] == [
        "pump.spike:1:1: warning: reads nothing: no device of the inventory has a class that it serves (old-pump, pump)"
    ]
    warned = load_sources([], inventory, models=[file_of(whole())]).warnings
    assert not any("reads nothing" in str(one) for one in warned)
