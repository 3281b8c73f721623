"""What lies in the alert topic and in the metadata of commits: what was packed is read, what somebody else wrote harms nobody."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.simulation import rule

from spikebridge.alerts import Alert, AlertEntry, DeviceInfo, alert_entry, incident_id
from spikebridge.errors import LogError, LogRefused, SchemaError
from spikebridge.kafka.client import MAX_METADATA_BYTES, Place
from spikebridge.logs import Commit, Cursor
from spikebridge.logs.kafka import sealed
from spikebridge.logs.kafka.sealed import Home
from spikebridge.spikes.record import Record

HOME = Home("4L6g3nShT-eMCtK--X86sw", "YFtqYhJxTIqr2LDLSOlsjw")
LARGEST = (1 << 63) - 1
DEEP = b"\x91" * 2_500 + b"\x90"
"""Lists in lists: as many as metadata have room for."""

numbers = st.integers(0, LARGEST)
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40).map(
    lambda some: tuple(zip(sorted(offset for offset, _ in some), sorted(number for _, number in some), strict=True))
)
inputs = st.dictionaries(numbers, st.tuples(numbers, numbers), max_size=30)


def packed(value: object) -> str:
    """Write a value as metadata of our version."""
    return "2" + base64.b64encode(msgspec.msgpack.encode(value)).decode()


@given(numbers, numbers, pairs, numbers)
def test_a_commit_is_read_as_it_was_packed(position: int, append_ns: int, known: tuple[tuple[int, int], ...], life: int) -> None:
    """Whatever positions and revisions: text that any broker keeps, and the same commit."""
    commit = Commit(position, append_ns, known, life)
    metadata = sealed.pack_commit(commit, HOME)

    assert metadata.isascii()
    assert sealed.read_commit(Place(position, metadata), HOME) == commit


@given(pairs, numbers, numbers)
def test_there_is_room_exactly_when_any_pair_more_fits(known: tuple[tuple[int, int], ...], step: int, more: int) -> None:
    """Room means that no next pair is too long; no room that the largest would be."""
    many = tuple((offset % 1_000 + at * LARGEST // 300, at) for at, (offset, _) in enumerate(known * 3))
    for some in (known, many[:110], many):
        last = some[-1]
        after = (*some, (min(LARGEST, last[0] + step), min(LARGEST, last[1] + more)))
        length = len(sealed.pack_commit(Commit(0, LARGEST, after, LARGEST), HOME))
        assert length <= sealed.MAX_METADATA or not sealed.room(some, HOME)


def test_room_ends_where_the_largest_pair_would_not_fit() -> None:
    """Pair by pair up to the limit: the answer is that of packing one more, to the byte."""
    known: list[tuple[int, int]] = []
    largest = (1 << 32, 1 << 32)
    while sealed.room(known, HOME):
        known.append((len(known) * largest[0], len(known) * largest[1]))
        after = [*known, ((len(known) + (1 << 31)) * largest[0] - 1, (len(known) + (1 << 31)) * largest[1] - 1)]
        fits = len(sealed.pack_commit(Commit(0, LARGEST, tuple(after), LARGEST), HOME)) <= sealed.MAX_METADATA
        assert sealed.room(known, HOME) == fits, len(known)

    assert 100 < len(known) < 200
    assert len(sealed.pack_commit(Commit(0, LARGEST, tuple(known), LARGEST), HOME)) <= sealed.MAX_METADATA < MAX_METADATA_BYTES


def test_the_first_version_is_still_read() -> None:
    """It was JSON."""
    old = msgspec.json.encode({"cluster": HOME.cluster, "topic": HOME.topic, "append_ns": 17, "pairs": [[0, 3], [9, 4]]}).decode()

    assert sealed.read_commit(Place(12, old), HOME) == Commit(12, 17, ((0, 3), (9, 4)))
    assert sealed.read_commit(Place(12, old), HOME._replace(topic="another")) == Commit(0, 0, ())


class OlderCommitted(msgspec.Struct, array_like=True):
    """The metadata as versions without lives read them."""

    cluster: str
    topic: str
    append_ns: int
    pairs: list[int]


def test_a_life_is_read_where_there_is_one_and_passed_over_by_who_knows_none() -> None:
    """An upgrade one instance after the other: both read what the other has committed."""
    assert sealed.read_commit(Place(12, packed([*HOME, 17, [0, 3, 9, 1]])), HOME) == Commit(12, 17, ((0, 3), (9, 4)), 0)

    metadata = sealed.pack_commit(Commit(12, 17, ((0, 3), (9, 4)), 2), HOME)
    older = msgspec.msgpack.decode(base64.b64decode(metadata[1:]), type=OlderCommitted)
    assert older == OlderCommitted(*HOME, 17, [0, 3, 9, 1])


@pytest.mark.parametrize("read", [sealed.read_commit, sealed.read_cursor])
def test_a_newer_version_is_not_guessed_at(read: object) -> None:
    """A rolling upgrade: the older instance stops and says so."""
    assert callable(read)
    for version in "3456789":
        with pytest.raises(SchemaError, match=f"newer version of Spikebridge .metadata version {version}"):
            read(Place(5, version + "x" * 40), HOME)


STRANGE = {
    "empty": "",
    "words": "consumed by somebody",
    "a digit of another alphabet": "\u00b2" + "x" * 9,
    "no base64": "2!!!!",
    "an odd number of numbers": packed([*HOME, 5, [1, 2, 3]]),
    "a negative time": packed([*HOME, -5, [1, 2]]),
    "an enormous time": packed([*HOME, 1 << 63, [1, 2]]),
    "a negative position": packed([*HOME, 5, [-1, 2]]),
    "positions that fall": packed([*HOME, 5, [9, 2, -3, 1]]),
    "positions beyond all numbers": packed([*HOME, 5, [LARGEST, 2, LARGEST, 1]]),
    "no pairs": packed([*HOME, 5, []]),
    "a negative life": packed([*HOME, 5, [1, 2], -1]),
    "lists in lists": "2" + base64.b64encode(b"\x95\xa1c\xa1t\x00\x90" + DEEP).decode(),
    "lists in lists where a number should be": "2" + base64.b64encode(b"\x94\xa1c\xa1t\x00" + DEEP).decode(),
    "objects in objects": '{"cluster":' * 300,
    "an unknown key with lists in lists": '{"cluster": "c", "x": ' + "[" * 3_000,
    "a number of thousands of digits": '{"cluster": "c", "topic": "t", "pairs": [[0, 1]], "append_ns": ' + "9" * 3_000 + "}",
}


@pytest.mark.parametrize("metadata", STRANGE.values(), ids=list(STRANGE))
def test_what_another_tool_wrote_is_a_bare_position(metadata: str) -> None:
    """No past, no error: the stage begins anew, a reader reads on."""
    assert sealed.read_commit(Place(7, metadata), HOME) == Commit(7, 0, ())
    assert sealed.read_cursor(Place(7, metadata), HOME) == Cursor(7)


hostile = st.one_of(
    st.text(max_size=200),
    st.binary(max_size=200).map(lambda raw: "2" + base64.b64encode(raw).decode()),
    st.recursive(st.one_of(st.integers(-(1 << 63), (1 << 64) - 1), st.text(max_size=5), st.none()), st.lists, max_leaves=20).map(
        packed
    ),
    st.lists(st.integers(-(1 << 63), (1 << 64) - 1), max_size=9).map(lambda some: packed([*HOME, 5, some])),
    st.lists(st.integers(-(1 << 63), (1 << 64) - 1), max_size=9).map(lambda some: packed([*HOME, some])),
)


@given(hostile)
def test_no_metadata_raise_anything_but_a_schema_error(metadata: str) -> None:
    """And what is read of them is something that a stage could have written."""
    try:
        commit, cursor = sealed.read_commit(Place(7, metadata), HOME), sealed.read_cursor(Place(7, metadata), HOME)
    except SchemaError:
        assert metadata[0] in "3456789"
        return
    assert 0 <= commit.append_ns <= LARGEST
    assert 0 <= commit.life <= LARGEST
    assert all(0 <= number <= LARGEST for pair in commit.pairs for number in pair)
    assert cursor is not None
    assert all(0 <= number <= LARGEST for source, place in cursor.seen.items() for number in (source, *place))


@given(numbers, inputs)
def test_a_cursor_is_read_as_it_was_packed(position: int, seen: dict[int, tuple[int, int]]) -> None:
    """Inputs with their highest place."""
    metadata, left_out = sealed.pack_cursor(Cursor(position, seen), HOME)

    assert left_out == 0
    assert sealed.read_cursor(Place(position, metadata), HOME) == Cursor(position, seen)
    assert sealed.read_cursor(Place(position, metadata), HOME._replace(topic="another")) is None


@pytest.mark.parametrize("topics", [1, 40])
def test_a_cursor_over_hundreds_of_inputs_keeps_what_has_room(topics: int) -> None:
    """Beyond the limit the inputs that are furthest on stay, and how many don't is said."""
    homes = [Home("cluster", f"topic-{number}") for number in range(topics)]
    seen = {
        homes[number % topics].input(number // topics): ((number * 7919) % 800 << 20 | number, number % 9)
        for number in range(800)
    }
    for many in (50, 100, 200, 400, 800):
        some = dict(list(seen.items())[:many])
        metadata, left_out = sealed.pack_cursor(Cursor(5, some), HOME)
        read = sealed.read_cursor(Place(5, metadata), HOME)
        assert read is not None
        assert len(metadata) <= sealed.MAX_METADATA
        assert len(read.seen) == many - left_out
        kept = sorted(some.values(), reverse=True)[: many - left_out]
        assert sorted(read.seen.values(), reverse=True) == kept
        assert all(some[source] == place for source, place in read.seen.items())
        assert left_out == 0 or len(read.seen) > (100 if topics == 40 else 250)


def test_the_number_of_an_input_is_its_own() -> None:
    """Of a topic's partitions and of each one's lives, of many topics, and of a topic made anew; one that has no number left is refused."""
    homes = [Home("cluster", f"topic-{number}") for number in range(200)]
    found = [home.input(partition) for home in homes for partition in (*range(200), (1 << 15) - 1)]
    found += [home.input(partition, life) for home in homes[:20] for partition in range(20) for life in range(1, 20)]

    assert len(set(found)) == len(found)
    assert all(0 <= number <= LARGEST for number in found)
    with pytest.raises(LogRefused, match="at most 32,768 partitions, found partition 32,768"):
        homes[0].input(1 << 15)


ENTRY = AlertEntry("id", "alert", 1, (5, 7, 0), b"body", (b"frame", b""))
entries = st.builds(
    AlertEntry,
    st.text(max_size=40),
    st.sampled_from(["alert", "incident"]),
    numbers,
    st.tuples(st.integers(-1, LARGEST), numbers, numbers),
    st.binary(max_size=40),
    st.lists(st.binary(max_size=9), max_size=4).map(tuple),
)


@given(entries, numbers, numbers)
def test_an_entry_is_opened_as_it_was_sealed(entry: AlertEntry, offset: int, append_ns: int) -> None:
    """With the place that the log gave it."""
    assert sealed.unseal(Record(offset, append_ns, sealed.seal(entry))) == entry._replace(offset=offset, append_ns=append_ns)


@given(st.one_of(st.binary(max_size=80), st.tuples(st.integers(0, 30), st.binary(max_size=4))))
def test_what_is_no_entry_is_a_log_error(raw: bytes | tuple[int, bytes]) -> None:
    """Garbage, cut entries, entries with bytes exchanged: told with the record, never anything else."""
    if isinstance(raw, tuple):
        at, other = raw
        sound = sealed.seal(ENTRY)
        raw = sound[:at] + other + sound[at + len(other) + 1 :]
    told, opened = "", None
    try:
        opened = sealed.unseal(Record(9, 0, raw))
    except (LogError, SchemaError) as error:
        told = str(error)
    newer = told.startswith("record 9 of the alert log") and (raw[1] != 1 or "is of the kind" in told)
    assert "record 9 is no entry" in told or opened is not None or newer
    assert opened is None or all(-1 <= number <= LARGEST for number in (*opened.source, opened.version))


@pytest.mark.parametrize(
    "rest", [[], ["id", {"quite": "another"}], msgspec.msgpack.decode(sealed.seal(ENTRY))[1:], [[["deeper"]]]]
)
def test_an_entry_of_a_newer_version_is_told_apart_from_garbage(rest: list[object]) -> None:
    """Whatever its shape is then: this process must wait for its upgrade, and lose nothing."""
    with pytest.raises(SchemaError, match="record 9 of the alert log was written by a newer version"):
        sealed.unseal(Record(9, 0, msgspec.msgpack.encode([2, *rest])))
    with pytest.raises(LogError, match="record 9 is no entry"):
        sealed.unseal(Record(9, 0, msgspec.msgpack.encode([0, *rest])))


@pytest.mark.parametrize("kind", ["decision", "x" * 32, "_"])
def test_an_entry_of_a_kind_that_only_a_newer_version_knows_waits_for_it(kind: Any) -> None:
    """As one of a newer format does, and the kind is named."""
    with pytest.raises(SchemaError, match=f"record 9 of the alert log is of the kind '{kind}', .*: upgrade this one"):
        sealed.unseal(Record(9, 0, sealed.seal(ENTRY._replace(kind=kind))))


@pytest.mark.parametrize("kind", ["", "x" * 33, "Alert", "a kind", "alert\n", "incidents/2", 5, None])
def test_what_no_version_calls_a_kind_is_no_entry(kind: Any) -> None:
    """Whoever writes rubbish into the topic stops nobody."""
    with pytest.raises(LogError, match="record 9 is no entry"):
        sealed.unseal(Record(9, 0, sealed.seal(ENTRY._replace(kind=kind))))


def test_lists_in_lists_are_no_entry() -> None:
    """However deep."""
    sound = sealed.seal(ENTRY)
    with pytest.raises(LogError, match="record 9 is no entry"):
        sealed.unseal(Record(9, 0, bytes([sound[0] + 1]) + sound[1:] + DEEP * 40))


@pytest.mark.parametrize(("site", "key"), [("east", b"east"), ("", b"default")])
def test_alerts_lie_beside_those_of_their_site(site: str, key: bytes) -> None:
    """And those without a site beside those of the tenant."""
    info = rule("single", (5, 5)).info
    alert = Alert(
        id=incident_id("default", "single", [], (0, 1)), tenant="default", log="log", partition=0, offset=0, ordinal=0, revision=1,
        revision_digest="", rule=info, device=DeviceInfo(id="cam", site=site), group=["cam"], time_ns=0, time_source="log", append_ns=0,
        interval_start_ns=0, interval_ns=1, first_ns=0, last_ns=0, count=1,
    )  # fmt: skip

    assert sealed.site_key(alert_entry(alert, ()), "default") == key
