"""`replay ID` and `explain ID` of an alert whose frames carry the evidence of the network that raised their spikes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from crc32c import crc32c
from tests.reference.simulation import rule
from tests.unit.cli.test_replay_file import evidence
from tests.unit.detectors.odd_windows import odd_hum, power_data

from spikebridge.alerts import alert_entry
from spikebridge.cli import main
from spikebridge.logs.spool import Spool
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.rules import RuleSet, read_revision, rule_set_content
from spikebridge.spikes.frame import Head, encode_events, unpack
from spikebridge.spikes.layout import MAX_TIME_NS
from spikebridge.spikes.record import Record
from spikebridge.store import Store
from spikebridge_detectors.evidence import Evidence, Said, read, written
from spikebridge_detectors.model.file import opened
from spikebridge_detectors.sense.judge import Judge
from spikebridge_detectors.sense.outputs import WIRE_LAYERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from spikebridge.alerts import Alert

__all__ = ["evidence"]

SPELL = RuleSet(rules=[rule("spell", (49, 49), count=1)])


def stored(folder: Path, frames: Sequence[bytes], rule_set: RuleSet = SPELL) -> Alert:
    """Raise the one alert of these frames, and keep it with its revision."""
    with Spool(folder) as spool:
        number = spool.publish(rule_set_content(rule_set))
    revision = read_revision(number, rule_set_content(rule_set))
    end_ns = max(unpack(frame, MAX_TIME_NS).end_ns for frame in frames)
    records = [Record(at, end_ns, frame) for at, frame in enumerate(frames)]
    engine = Engine(Identity("default", "log", 0), revision, lambda _: None, lambda offsets: [records[at] for at in offsets])
    (raised,) = engine.take(records).alerts
    with Store(folder) as store:
        store.write([alert_entry(raised.alert, raised.evidence)])
    return raised.alert


def frame_of(found: Evidence, **changes: Any) -> bytes:
    """Return the frame of an alarm with its evidence, whose header says otherwise what `changes` say."""
    said = found.said
    digest = int(said.model[:16] or "0", 16)
    facts: dict[str, Any] = {"device": "cam-1", "start_ns": said.time_ns, "step_ns": 1_000, "digest": digest}
    facts["layer"] = WIRE_LAYERS[said.detector]
    return encode_events(Head(**facts | changes), [said.neuron], [0], evidence=written(found))


def said_otherwise(found: Evidence, **changes: Any) -> Evidence:
    """Return the evidence with another header, whole otherwise."""
    facts = {name: getattr(found.said, name) for name in Said.__struct_fields__} | changes
    return found._replace(said=Said(**facts))


def replayed(folder: Path, alert: Alert, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any]]:
    """Replay an alert, and return the exit and the document."""
    code = main(["replay", alert.id[:8], "--data", str(folder), "--without-lava", "--json", *more])
    return code, json.loads(capsys.readouterr().out)


def test_an_alert_is_replayed_with_the_network_behind_its_frame(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mapping's verdict first, then the network's on each engine, as `replay FILE` says it."""
    alert = stored(tmp_path, [frame_of(evidence)])

    assert main(["replay", alert.id[:8], "--data", str(tmp_path), "--without-lava"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"same: alert {alert.id} from 1 record, revision 1"
    assert out[1] == "same: spell of cam-1 from its state and 35 packets since"
    assert out[2].startswith("  NumPy: same: ")
    code, found = replayed(tmp_path, alert, capsys)
    assert (code, found["verdict"], [one["verdict"] for one in found["networks"]]) == (0, "same", ["same"])
    assert found["networks"][0]["engines"][0]["engine"] == "NumPy"


def test_an_alert_is_explained_by_its_network_without_an_option(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neuron, deviation, what was learned and sigma; and a raster."""
    alert = stored(tmp_path, [frame_of(evidence)])
    explain = ["explain", alert.id[:8], "--data", str(tmp_path)]

    assert main([*explain, "--plot", str(tmp_path / "spell.svg")]) == 0
    out = capsys.readouterr().out
    assert out.startswith(alert.explanation)
    assert "what the network saw:\nspell (neuron 49) of cam-1: 9.4 surprises within about 5 min, where 6.4 are the most" in out
    assert "against a learned" in out
    assert " sigma" in out
    assert (tmp_path / "spell.svg").read_text(encoding="utf-8").startswith("<svg")
    assert main([*explain, "--json"]) == 0
    (network,) = json.loads(capsys.readouterr().out)["networks"]
    assert (network["offset"], network["neuron"], network["kind"]) == (0, 49, "spell")
    assert any("sigma" in one["own_gap"] for one in network["surprises"])


@pytest.mark.parametrize(
    ("frame", "said", "told"),
    [
        ({}, {"device": "cam-2"}, "device: the frame's cam-1, of the evidence cam-2"),
        ({"digest": 5}, {}, "model: the frame's 0000000000000005, of the evidence 0000000000000000"),
        ({}, {"model": "00000000000000ff"}, "model: the frame's 0000000000000000, of the evidence 00000000000000ff"),
        ({"layer": 63}, {}, "layer: the frame's 63, of timing 48"),
        ({}, {"detector": "power"}, "layer: the frame's 48, of power 63"),
        ({}, {"neuron": 48}, "neuron: the frame's 49, of the evidence 48"),
        ({}, {"kind": "burst"}, "neuron: of burst 48, of the evidence 49"),
        ({}, {"time_ns": 3631009453669}, "time_ns: the frame's 3631009452669, of the evidence 3631009453669"),
        ({}, {"time_ns": 3631009452668}, "time_ns: the frame's 3631009452669, of the evidence 3631009452668"),
    ],
)
def test_evidence_of_another_frame_differs(
    tmp_path: Path,
    evidence: Evidence,
    capsys: pytest.CaptureFixture[str],
    frame: dict[str, Any],
    said: dict[str, Any],
    told: str,
) -> None:
    """Device, model, layer, neuron and time are the frame's; nothing is run or explained otherwise."""
    real = frame_of(evidence, **frame)
    without = real[: len(real) - 8 - len(written(evidence)) // 8 * 8 - 8 * (len(written(evidence)) % 8 > 0)]
    other = written(said_otherwise(evidence, **said))
    body = without + other.ljust(-(-len(other) // 8) * 8, b"\0") + len(other).to_bytes(4, "little")
    body = body[:8] + (len(body) + 4).to_bytes(4, "little") + body[12:]
    alert = stored(tmp_path, [body + crc32c(body).to_bytes(4, "little")])

    code, found = replayed(tmp_path, alert, capsys)
    assert (code, found["verdict"], found["differences"]) == (1, "differs", [])
    assert [(one["verdict"], one["differences"]) for one in found["networks"]] == [("differs", [told])]
    assert main(["explain", alert.id[:8], "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"not explained: evidence in the record at offset 0: {told}: see `spikebridge replay {alert.id[:8]}`" in out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"score": 9.5}, "score: recorded 9.5, replayed 1.4"),
        ({"kind": "silence", "neuron": 52}, "time_ns: recorded 3631009452669 for silence, replayed none"),
    ],
)
def test_an_alarm_that_does_not_follow_differs(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str], change: dict[str, Any], told: str
) -> None:
    """The network says otherwise than the evidence that travelled."""
    alert = stored(tmp_path, [frame_of(said_otherwise(evidence, **change))], RuleSet(rules=[rule("odd", (49, 52), count=1)]))

    assert main(["replay", alert.id[:8], "--data", str(tmp_path), "--without-lava"]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"differs: alert {alert.id}")
    assert told in out


def test_a_byte_that_was_changed_on_the_way_differs(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the frame's checksum was made anew: the service took the frame, its evidence shows the damage."""
    good = frame_of(evidence)
    at = len(good) - 100
    body = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 : -4]
    alert = stored(tmp_path, [body + crc32c(body).to_bytes(4, "little")])

    assert main(["replay", alert.id[:8], "--data", str(tmp_path), "--without-lava"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[1] == "differs: evidence in the record at offset 0"
    assert out[2] == "  differs: expected what the digest at its end is of, found something else: damaged or altered"


def test_a_byte_that_was_changed_in_the_store_differs(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    """The alert names the digest of the record."""
    alert = stored(tmp_path, [frame_of(evidence)])
    later = frame_of(evidence, seq=1)
    with Store(tmp_path) as store:
        store.write([alert_entry(msgspec.structs.replace(alert, id="0" + alert.id[1:]), (later,))])

    code, found = replayed(tmp_path, msgspec.structs.replace(alert, id="0" + alert.id[1:]), capsys)
    assert code == 1
    assert "the record at offset 0 is not the one that counted (SHA-256 differs)" in found["differences"][0]


def odd_power() -> Evidence:
    """Return the evidence of an odd window of power, by a model that doesn't ship."""
    judge = Judge(opened(power_data()), "cam-1", ["volts", "amperes"])
    odd = max(judge.advance(odd_hum(2, 400, slice(200, 230))), key=lambda one: one.alarm.score)
    return read(judge.evidence([odd])[odd.end])


def test_a_network_whose_model_is_not_here_is_not_run_and_it_is_said_how_to_give_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That is no difference; with the directory in which sensing keeps models, it runs."""
    found = odd_power()
    digest = found.said.model
    rules = RuleSet(rules=[rule("odd", (found.said.neuron, found.said.neuron), count=1)])
    alert = stored(tmp_path, [frame_of(found)], rules)

    code, document = replayed(tmp_path, alert, capsys)
    why = f"the model {digest[:16]} isn't here: name the directory in which sensing keeps it with --evidence DIR"
    assert (code, document["verdict"]) == (0, "same")
    assert [(one["verdict"], one["why"]) for one in document["networks"]] == [("not run", why)]
    assert main(["explain", alert.id, "--data", str(tmp_path)]) == 0
    assert why in capsys.readouterr().out
    (tmp_path / f"{digest[:16]}.spike").write_bytes(power_data()[:-1])
    code, document = replayed(tmp_path, alert, capsys, "--evidence", str(tmp_path))
    assert (code, document["networks"][0]["verdict"]) == (0, "not run")
    assert document["networks"][0]["why"].startswith(f"the model {digest[:16]} can't be had: ")
    (tmp_path / f"{digest[:16]}.spike").write_bytes(power_data())
    code, document = replayed(tmp_path, alert, capsys, "--evidence", str(tmp_path))
    assert [(one["verdict"], one["kind"]) for one in document["networks"]] == [("same", found.said.kind)]
    assert main(["explain", alert.id, "--data", str(tmp_path), "--evidence", str(tmp_path)]) == 0
    assert f"{found.said.kind} (neuron {found.said.neuron}) of cam-1" in capsys.readouterr().out


def test_of_many_only_the_last_are_run_and_the_others_say_so(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever sends frames can't keep whoever asks for an hour."""
    frames = [frame_of(evidence, seq=at) for at in range(6)]
    alert = stored(tmp_path, frames, RuleSet(rules=[rule("six", (49, 49), count=6, within=10)]))

    code, found = replayed(tmp_path, alert, capsys)
    networks = found["networks"]
    assert (code, found["verdict"]) == (0, "same")
    assert [one["verdict"] for one in networks] == ["not run"] * 2 + ["same"] * 4
    assert [one["offset"] for one in networks] == list(range(6))
    assert networks[0]["why"] == "of an alert the last 4 of timing are run"
    assert main(["explain", alert.id, "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count("spell (neuron 49) of cam-1: 9.4 surprises") == 3
    assert "and 3 alarms before: --json has them" in out


def test_evidence_that_had_no_room_is_named_beside_that_which_had(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    """The alert is the same, the frame that crossed has its evidence, and the oldest say where theirs is."""
    frames = [frame_of(evidence._replace(input=evidence.input[:12] * 2_000 + evidence.input), seq=at) for at in range(4)]
    alert = stored(tmp_path, frames, RuleSet(rules=[rule("four", (49, 49), count=4, within=10)]))

    assert not alert.evidence.partial
    _, found = replayed(tmp_path, alert, capsys)
    assert found["taken_as_recorded"][0].startswith("evidence of networks in 2 of the records had no room")
    assert [one["offset"] for one in found["networks"]] == [0, 1, 2, 3]
    assert [one["why"] for one in found["networks"][:2]] == ["had no room beside the alert; it is in the record of the log"] * 2
    assert [one["packets"] for one in found["networks"][2:]] == [2_035] * 2


def test_evidence_of_another_neuron_than_the_alert_counts_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A frame of several spikes carries that of the oddest, which another rule may count."""
    found = odd_power()
    other = 63 + 64 - found.said.neuron
    digest = int(found.said.model[:16], 16)
    head = Head(device="cam-1", start_ns=found.said.time_ns, step_ns=1_000, layer=WIRE_LAYERS["power"], digest=digest)
    frame = encode_events(head, [63, 64], [0, 0], evidence=written(found))
    (tmp_path / f"{found.said.model[:16]}.spike").write_bytes(power_data())
    said = (
        f"of another neuron than the alert counts ({other}); a frame carries evidence of its oddest:\n{found.said.kind} (neuron"
    )
    for name, numbers, own in (("aside", (other, other), False), ("both", (63, 64), True)):
        alert = stored(tmp_path, [frame], RuleSet(rules=[rule(name, numbers, count=1 + own)]))
        explain = ["explain", alert.id, "--data", str(tmp_path), "--evidence", str(tmp_path)]

        assert main(explain) == 0
        assert (said in capsys.readouterr().out) is not own
        assert main([*explain, "--json"]) == 0
        (network,) = json.loads(capsys.readouterr().out)["networks"]
        assert (network["neuron"], network["of_alert"]) == (found.said.neuron, own)


def test_evidence_that_travelled_is_saved_as_a_file_that_replays_elsewhere(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bytes of the last frame, never over a file that is there."""
    alert = stored(tmp_path, [frame_of(evidence, seq=1), frame_of(evidence)], RuleSet(rules=[rule("two", (49, 49), count=2)]))
    path = tmp_path / "spell.spkev"
    save = ["explain", alert.id, "--data", str(tmp_path), "--save", str(path)]

    assert main(save) == 0
    assert capsys.readouterr().err == f"explain: wrote {path}\n"
    assert path.read_bytes() == written(evidence)
    assert main(["replay", str(path), "--without-lava"]) == 0
    assert main(["explain", str(path)]) == 0
    assert "spell (neuron 49) of cam-1: 9.4 surprises" in capsys.readouterr().out
    path.write_text("mine")
    assert main(save) == 2
    assert "expected a new file that ends in .spkev, found a file that is there" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert main([*save[:-1], "spell.bin"]) == 2
    assert 'found another name: "spell.bin"' in capsys.readouterr().err
    assert main(["explain", str(path), "--save", str(tmp_path / "again.spkev")]) == 2
    assert "--save: expected an alert, found a file of evidence" in capsys.readouterr().err


def test_a_record_that_is_not_beside_the_alert_holds_no_evidence(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file by its name runs to the same alarm, of which nothing but the device is the alert's; of another device it differs."""
    alert = stored(tmp_path, [encode_events(Head(device="cam-1", start_ns=0, step_ns=1_000, layer=63), [49], [0])])
    with Store(tmp_path) as store:
        alert = msgspec.structs.replace(
            alert, id="0" + alert.id[1:], evidence=msgspec.structs.replace(alert.evidence, partial=True)
        )
        store.write([alert_entry(alert, (b"",))])
    path = tmp_path / f"{alert.evidence.records[0].sha256[:16]}.spkev"
    for found, verdict, told in (
        (evidence, "not run", "the frame that it came with isn't beside the alert"),
        (said_otherwise(evidence, device="cam-2"), "differs", "device: the frame's cam-1, of the evidence cam-2"),
    ):
        path.write_bytes(written(found))
        _, document = replayed(tmp_path, alert, capsys, "--evidence", str(tmp_path))
        (network,) = document["networks"]
        assert network["verdict"] == verdict
        assert told in "".join([network["why"], *network["differences"]])
        assert main(["explain", alert.id, "--data", str(tmp_path), "--evidence", str(tmp_path)]) == 0
        assert f"not explained: {path}: {told}" in capsys.readouterr().out


def test_what_can_not_be_saved_is_said_and_so_is_the_model_that_a_file_needs(
    tmp_path: Path, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    """Evidence of another device isn't that of the frame; one whose model isn't here is, and belongs beside it."""
    foreign = frame_of(evidence, device="cam-2")
    without = encode_events(Head(device="cam-1", start_ns=evidence.said.time_ns, step_ns=1_000), [49], [0])
    for frame, why in ((foreign, "device: the frame's cam-2, of the evidence cam-1"), (without, "found none")):
        alert = stored(tmp_path, [frame])
        assert main(["explain", alert.id, "--data", str(tmp_path), "--save", str(tmp_path / "a.spkev")]) == 2
        assert why in capsys.readouterr().err
    assert not (tmp_path / "a.spkev").exists()
    found = odd_power()
    alert = stored(tmp_path, [frame_of(found)], RuleSet(rules=[rule("odd", (found.said.neuron, found.said.neuron), count=1)]))
    assert main(["explain", alert.id, "--data", str(tmp_path), "--save", str(tmp_path / "a.spkev")]) == 0
    model = tmp_path / f"{found.said.model[:16]}.spike"
    assert f"a.spkev; its model belongs beside it, as {model}\n" in capsys.readouterr().err
    model.write_bytes(power_data())
    assert main(["replay", str(tmp_path / "a.spkev"), "--without-lava"]) == 0
