"""Raw sensor spikes through models: rows like a sensor's own, dead letters for what doesn't fit, evidence that replays."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzzing import fuzz
from tests.reference.detection import LINES, small, with_models
from tests.reference.plain import PlainEngine
from tests.reference.simulation import START_NS, rule
from tests.reference.trials import plain_of

from spikebridge.alerts import DeviceInfo, EvidenceInfo, alert_entry
from spikebridge.canonical import sha256
from spikebridge.cli.replay_alert import replayed
from spikebridge.limits import SECOND, Limits
from spikebridge.mapping.derived import MOST_INPUTS
from spikebridge.mapping.engine import Engine
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.replay import replay
from spikebridge.mapping.rules import Cell, Device, Revision, RuleSet, rule_set_content
from spikebridge.spikes.batch import ROLE_INPUT
from spikebridge.spikes.frame import Head, encode_counts, encode_events, encode_window
from spikebridge.spikes.record import Record
from spikebridge_detectors.model.header import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge.alerts import AlertEntry
    from spikebridge.detect.file import ModelFile
    from spikebridge.mapping.engine import Taken

STEP_NS = SECOND // 10
DENSE = [[0x0F0F_FFFF]] * LINES


def revision(*models: ModelFile, count: int = 1, number: int = 1) -> Revision:
    """Make a revision whose rule counts neuron 5 of the layer `out`."""
    counted = msgspec.structs.replace(rule("five", (5, 5), count=count, within=60), cells=[Cell(layer="out", first=5, last=5)])
    devices = [Device(info=DeviceInfo(id=f"{name}-1", device_class=name, known=True)) for name in ("cam", "lock")]
    rule_set = with_models(
        RuleSet(rules=[counted, rule("three", (3, 3), count=3, within=30, suppress=5)], devices=devices), *models
    )
    return Revision(number=number, digest=sha256(rule_set_content(rule_set)), rule_set=rule_set)


def engine(held: Sequence[Record], made: Revision) -> Engine:
    """Make an engine over these records."""
    found = {record.offset: record for record in held}
    return Engine(
        Identity("default", "log", 0), made, lambda _: None, lambda offsets: [found[at] for at in offsets if at in found]
    )


def raw(after: float = 0.0, *, device: str = "cam-1", words: Sequence[Sequence[int]] = DENSE, **head: Any) -> bytes:
    """Make a window of raw spikes."""
    said = {"step_ns": STEP_NS, **head}
    return encode_window(
        Head(device=device, start_ns=START_NS + round(after * SECOND), role=ROLE_INPUT, **said), range(len(words)), words
    )


def appended(*values: bytes, every: float = 4.0) -> list[Record]:
    """Append values one after the other."""
    return [Record(at, START_NS + round(at * every * SECOND), value) for at, value in enumerate(values)]


def sealed(taken: Taken) -> list[AlertEntry]:
    """Return the bytes that reach the alert log."""
    return [alert_entry(raised.alert, raised.evidence) for raised in taken.alerts]


def test_an_output_raises_what_a_sensors_own_neuron_raises() -> None:
    """The alert names the model, and the layer and neuron that mappings know."""
    model = small("cam", ("cam",))
    [alert] = [
        raised.alert for raised in engine([], revision(model)).take(appended(raw())).alerts if raised.alert.rule.id == "five"
    ]

    assert (alert.rule.id, alert.model_digest) == ("five", model.digest[:16])
    assert [(one.layer, one.neuron) for one in alert.neurons] == [("out", 5)]
    assert alert.explanation == "1 spike of neuron 5 (layer out) on cam-1 (rule: each spike); as model cam 1 read its raw spikes"
    assert START_NS < alert.time_ns <= START_NS + 31 * STEP_NS


def test_the_evidence_reaches_back_to_where_the_state_was_zero_and_replays() -> None:
    """All inputs of the interval are in it, and any other byte is found out."""
    made = revision(small("cam", ("cam",), memory_s=20), count=9)
    records = appended(*(raw(4.0 * at, words=[[0x0001_0101]] * LINES) for at in range(12)))
    raised = [one for one in engine(records, made).take(records).alerts if one.alert.rule.id == "five"]
    [first] = raised[:1]

    inputs = [kept.offset for kept in first.alert.evidence.records]
    zero = next(
        record.offset for record in records if record.append_ns >= records[inputs[-1]].append_ns // (20 * SECOND) * 20 * SECOND
    )
    assert inputs == [*range(inputs[0], inputs[-1] + 1)]
    assert inputs[0] <= zero
    assert records[inputs[0]].append_ns % (20 * SECOND) < 4 * SECOND
    assert first.alert.evidence.partial is False
    assert replay(first.alert, first.evidence, made).verdict == "same"

    changed = list(first.evidence)
    changed[0] = raw(4.0 * inputs[0], words=[[0]] * LINES)
    assert replay(first.alert, changed, made).differences[0].startswith("evidence: the record at offset")
    records_told = [
        msgspec.structs.replace(kept, sha256=sha256(value), size=len(value))
        for kept, value in zip(first.alert.evidence.records, changed, strict=True)
    ]
    forged = msgspec.structs.replace(first.alert, evidence=msgspec.structs.replace(first.alert.evidence, records=records_told))
    assert replay(forged, changed, made).verdict == "differs"
    other = revision(small("cam", ("cam",), version=3), count=9)
    assert replay(first.alert, first.evidence, other).verdict == "differs"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (
            encode_counts(Head(device="cam-1", start_ns=START_NS, role=ROLE_INPUT), [1], [0], [2]),
            "kind: expected events or window for model cam 1, found count",
        ),
        (raw(words=[[1]] * 2), "channels: expected the 3 lines of model cam 1, 0 to 2, each once"),
        (raw(step_ns=1_000), "step: expected windows of steps of 100000000 ns for model cam 1, found windows of 1000 ns"),
        (
            encode_events(Head(device="cam-1", start_ns=START_NS, role=ROLE_INPUT), [1, 3], [0, 1]),
            "neuron: expected a line below 3 for model cam 1, found 3",
        ),
    ],
)
def test_a_frame_that_does_not_fit_is_a_dead_letter_with_its_reason(value: bytes, reason: str) -> None:
    """It is counted, its bytes are kept, and its neighbours are read."""
    made = engine([], revision(small("cam", ("cam",))))
    taken = made.take(appended(value, raw(4.0)))

    assert [(dead.offset, dead.part, dead.reason, dead.raw) for dead in taken.dead] == [(0, 0, reason, value)]
    assert (made.counters["unfit"], made.counters["detected"], made.counters["undetected"]) == (1, 1, 0)
    assert {raised.alert.offset for raised in taken.alerts} == {1}


def test_a_class_without_a_model_only_proves_life() -> None:
    """As it is without any model."""
    made = engine([], revision(small("cam", ("cam",))))

    assert made.take(appended(raw(device="lock-1"), raw(device="stranger"))).alerts == []
    assert (made.counters["undetected"], made.counters["detected"]) == (2, 0)


def test_one_frame_never_costs_more_steps_than_the_bound() -> None:
    """A span of too many steps is refused; so is a device that has had twice the steps of the time there is."""
    model = small("cam", ("cam",), step_ns=1_000_000, memory_s=30)
    long = encode_events(
        Head(device="cam-1", start_ns=START_NS - 33 * SECOND, role=ROLE_INPUT, step_ns=1_000_000), [0, 0], [0, 32_768]
    )
    made = engine([], revision(model))
    [dead] = made.take(appended(long)).dead
    assert dead.reason == "time span: expected at most 32,768 steps of model cam 1, found 32,769"

    fast = small("cam", ("cam",), step_ns=None, memory_s=30)
    many = encode_events(Head(device="cam-1", start_ns=START_NS, role=ROLE_INPUT), [0] * 32_769, [0] * 32_769)
    [dead] = engine([], revision(fast)).take(appended(many)).dead
    assert "found 32,769" in dead.reason

    limits = Limits(late_ns=SECOND, future_ns=0)
    tight = msgspec.structs.replace(made.revision.rule_set, limits=limits)
    tight = with_models(tight, small("cam", ("cam",), memory_s=20, window=Window(steps=1, flush=60)))
    small_budget = engine([], Revision(number=1, digest="", rule_set=tight))
    wide = [raw(0.01 * at, words=[[0] * 4] * LINES, step_ns=STEP_NS) for at in range(6)]
    dead_reasons = [dead.reason for dead in small_budget.take(appended(*wide, every=0.01)).dead]
    assert dead_reasons == ["steps: expected at most 32,768 of a device within the memory of model cam 1, found 39,040"] * 2


def test_more_evidence_than_alerts_carry_is_cut_to_both_ends() -> None:
    """The alert is the same however the log is cut, says how many records there were, and replays as partial."""
    model, values = small("cam", ("cam",), memory_s=300), [raw(0.05 * at, words=[[0x11]] * LINES) for at in range(1_200)]
    records, made = appended(*values, every=0.05), revision(model, count=3_000)
    whole = [one for one in engine(records, made).take(records).alerts if one.alert.rule.id == "five"]
    owner = engine(records, made)
    parts = [entry for low in range(0, len(records), 70) for entry in sealed(owner.take(records[low : low + 70]))]

    assert [alert_entry(*one) for one in whole] == [entry for entry in parts if b'"id":"five"' in entry.body]
    evidence: EvidenceInfo = whole[0].alert.evidence
    assert (len(evidence.records), evidence.partial) == (2, True)
    assert evidence.total > 700
    assert replay(*whole[0], made).verdict == "partial"


def test_after_more_inputs_than_are_run_again_the_record_that_crossed_still_tells() -> None:
    """A device that floods its interval gets its alert, with what is known for sure."""
    model = small("cam", ("cam",), memory_s=300, step_ns=None)
    quiet = [
        encode_events(Head(device="cam-1", start_ns=START_NS, role=ROLE_INPUT, seq=at), [], []) for at in range(MOST_INPUTS + 5)
    ]
    loud = encode_events(Head(device="cam-1", start_ns=START_NS, role=ROLE_INPUT, seq=9), [0, 1, 2] * 9, [0] * 27)
    records = appended(*quiet, loud, every=0.001)
    made = revision(model, count=2)
    [found] = [one.alert for one in engine(records, made).take(records).alerts if one.alert.rule.id == "five"]

    assert (found.count, found.offset, found.evidence.partial) == (2, len(quiet), True)


KINDS = st.fixed_dictionaries(
    {
        "version": st.integers(1, 6),
        "step_ns": st.sampled_from([None, STEP_NS, SECOND, 3 * STEP_NS + 7]),
        "window": st.none() | st.builds(Window, steps=st.integers(1, 40), flush=st.integers(2, 9)),
        "memory_s": st.sampled_from([1, 7, 60]),
        "reset": st.sampled_from([0, 0, 5]),
    }
)


@fuzz(few=25, many=300)
@given(seed=st.integers(0, 1 << 32), kind=KINDS, cuts=st.lists(st.integers(1, 9), max_size=12))
def test_any_model_over_any_stream_and_cut_equals_the_plain_reference(seed: int, kind: dict[str, Any], cuts: list[int]) -> None:
    """Clocks, windows, silence, intervals, late and overlapping frames, two devices: each alert and what replays it are the same."""
    luck, now, values = random.Random(seed), START_NS, []
    step_ns = kind["step_ns"] or STEP_NS
    for at in range(25):
        now += luck.choice([0, 0, 1, 2, 6, 30]) * SECOND // 2
        start = now + luck.choice([0, 0, 0, -2, -5, 1, 40, -295, -400]) * SECOND
        head = Head(
            device=luck.choice(["cam-1", "lock-1"]),
            start_ns=start,
            step_ns=luck.choice([step_ns, STEP_NS // 10]),
            role=ROLE_INPUT,
            boot=luck.choice([0, 7]),
            seq=luck.choice([at, 1]),
        )
        if luck.random() < 0.4 and kind["step_ns"]:
            values.append((now, encode_window(head, range(LINES), [[luck.getrandbits(32)] * luck.choice([1, 2])] * LINES)))
        else:
            rows = luck.choice([0, 1, 5, 40])
            steps = sorted(luck.randint(0, luck.choice([1, 30, 90])) for _ in range(rows))
            values.append((now, encode_events(head, [luck.randrange(LINES) for _ in range(rows)], steps)))
    records = [Record(at, append_ns, value) for at, (append_ns, value) in enumerate(values)]
    made = revision(small("both", ("cam", "lock"), **kind), count=luck.choice([1, 4]))
    plain = PlainEngine(made, {1: made})
    expected = [alert for record in records for alert in plain.take(record)]
    owner, found, low = engine(records, made), [], 0
    for cut in [*cuts, len(records)]:
        found += owner.take(records[low : low + cut]).alerts
        low += cut

    assert [plain_of(raised) for raised in found] == expected
    assert {replay(*raised, made).verdict for raised in found} <= {"same"}
    again = [replayed(*raised, made, lava=False) for raised in found[-3:]]
    assert {one.verdict for each in again for one in each.engines} <= {"same"}


def test_silence_between_frames_is_run_and_counts_no_earlier_than_a_frame_may_be_late() -> None:
    """A network that fires by itself shows each step of silence, frames out of order, and where an interval begins at zero."""
    model = small("cam", ("cam",), version=2, memory_s=60)
    quiet = [[0]] * LINES
    values = [raw(after, words=quiet) for after in (-299, 0, 3.2, 12.45, 2, 16, 36, 42)]
    records, made = appended(*values, every=6.0), revision(model)
    plain = PlainEngine(made, {1: made})
    expected = [alert for record in records for alert in plain.take(record)]
    raised = engine(records, made).take(records).alerts

    assert [plain_of(one) for one in raised] == expected
    assert next(one.alert.time_ns for one in raised if one.alert.offset == 1) == START_NS + 6 * SECOND - Limits().late_ns
    assert {replay(*one, made).verdict for one in raised} == {"same"}
