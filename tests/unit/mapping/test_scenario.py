"""The notation of tests: what it means, and what it says when it can't be read."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.limits import MINUTE, SECOND
from spikebridge.mapping.scenario import Burst, Pause, Stretch, parse_spikes, records_of
from spikebridge.spikes.frame import encode_tick, is_frame

MILLISECOND = 1_000_000
START_NS = 1_767_571_200 * SECOND


def events(text: str, device: str = "d") -> list[tuple[int, list[dict[str, object]]]]:
    """Return the records with spikes: append time in ns after the start, and their JSON events."""
    records = records_of([Stretch(device, parse_spikes(text))])
    told = [(record.append_ns - START_NS, msgspec.json.decode(record.value)) for record in records if not is_frame(record.value)]
    return [(after, found if isinstance(found, list) else [found]) for after, found in told]


def ticks(text: str) -> list[float]:
    """Return the seconds after the start at which the log's owner ticks."""
    records = records_of([Stretch("d", parse_spikes(text))])
    return [(record.append_ns - START_NS) / SECOND for record in records if is_frame(record.value)]


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("42", [Burst("", 42, 1, MILLISECOND, "")]),
        ("42 x25 every 2ms", [Burst("", 42, 25, 2 * MILLISECOND, "")]),
        ("output_3:7 -> 10.0.0.5", [Burst("output_3", 7, 1, MILLISECOND, "10.0.0.5")]),
        ("3:7 x2 -> fe80::1", [Burst("3", 7, 2, MILLISECOND, "fe80::1")]),
        ("output_3:* x45", [Burst("output_3", None, 45, 0, "")]),
        ("  1;wait 5m ;2  ", [Burst("", 1, 1, MILLISECOND, ""), Pause(5 * MINUTE), Burst("", 2, 1, MILLISECOND, "")]),
    ],
)
def test_the_notation_reads_as_segments(text: str, segments: list[Burst | Pause]) -> None:
    """Layer, neuron, number, distance, peer; summaries; pauses."""
    assert parse_spikes(text) == segments


SHAPE = "`[LAYER:]NEURON [xN] [every DURATION] [-> PEER]`, `LAYER:* [xN]` or `wait DURATION`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", f'segment 1: expected {SHAPE}, found ""'),
        ("42;", f'segment 2: expected {SHAPE}, found ""'),
        ("1; 42 y3", f'segment 2: expected {SHAPE}, found "42 y3"'),
        ("42 every 2", 'segment 1: expected a duration such as 50ms, 1s, 5m, 24h or 7d, found "2"'),
        ("wait long", 'segment 1: expected a duration such as 50ms, 1s, 5m, 24h or 7d, found "long"'),
        ("* x3", 'segment 1: expected a summary as `LAYER:* xN`, found "* x3"'),
        ("a:* every 1s", 'segment 1: expected a summary as `LAYER:* xN`, found "a:* every 1s"'),
    ],
)
def test_a_wrong_segment_is_told_by_its_number(text: str, expected: str) -> None:
    """What was found, and how segments look."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse_spikes(text)

    assert str(caught.value) == expected


def test_spikes_come_in_frames_of_at_most_a_second_each_appended_when_it_is_over() -> None:
    """Each spike has its own time, and the log's append times never fall."""
    [(first_after, first), (second_after, second)] = events("42 x3 every 400ms -> 10.0.0.5", "cam")
    begin = START_NS + MILLISECOND

    assert [event["time"] for event in first] == [begin, begin + 400 * MILLISECOND]
    assert second == [{"device_id": "cam", "neuron_id": 42, "peer": "10.0.0.5", "time": begin + 800 * MILLISECOND}]
    assert (first_after, second_after) == (402 * MILLISECOND, 802 * MILLISECOND)


def test_a_summary_is_one_record_with_its_number() -> None:
    """As the JSON of a sensor that only counts."""
    [(_, [event])] = events("output_3:* x45")

    assert {**event, "time": 0} == {"device_id": "d", "spike_count": 45, "neuron_layer": "output_3", "time": 0}


def test_while_the_log_stands_still_its_owner_ticks_every_ten_seconds() -> None:
    """Also between spikes that are far apart, and after the last one as long as time is asked to pass."""
    assert ticks("1") == [0.0]
    assert ticks("1; wait 25s") == [0.0, pytest.approx(10.002), pytest.approx(20.002)]
    assert ticks("1 x2 every 15s") == [0.0, pytest.approx(10.002)]


def test_a_scenario_begins_on_the_day_that_it_names() -> None:
    """At midnight UTC, for exceptions with an end."""
    [first, *_] = records_of([Stretch("d", parse_spikes("1"))], dt.date(2027, 2, 3))

    assert first.append_ns == 1_801_612_800 * SECOND
    assert first.value == encode_tick(first.append_ns)


@pytest.mark.fuzz
@given(st.text(alphabet="0123456789 x;:*->.evrywaitmsd_a", max_size=40))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    """Whatever is written, it is read or refused."""
    try:
        segments = parse_spikes(text)
    except ValueError as error:
        assert str(error).startswith("segment ")  # noqa: PT017 -- either end is good, and this one has a promise of its own
    else:
        assert segments
