"""The demonstration's site: what is planned comes out of the engine, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from spikebridge.canonical import sha256
from spikebridge.demo import site
from spikebridge.demo.episodes import HOUR, HOURS, LIVE, Burst, Episode
from spikebridge.demo.sensed import KINDS, MODEL
from spikebridge.detect.load import load_models
from spikebridge.incidents import Correlator
from spikebridge.limits import MINUTE, SECOND, Limits
from spikebridge.mapping.engine import alerts_of
from spikebridge.mapping.evidence import Identity
from spikebridge.mapping.load import load
from spikebridge.mapping.rules import Revision, rule_set_content
from spikebridge.spikes.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spikebridge.alerts import Alert
    from spikebridge.demo.site import Plan

NOW = 1_790_000_000_000_000_000
SHIPPED = load(
    [Path(__file__).parents[3] / "mappings"],
    Path(site.__file__).with_name("site.yaml"),
    Limits(),
    load_models([MODEL], None),
)
LIVE_SLOTS = 200
NIGHT_SLOTS = 720


def log_of(plan: Plan, slots: Iterable[int]) -> list[Record]:
    """Append what the site says at the end of each slot."""
    said = [(plan.starts(slot + 1), value) for slot in slots for value in site.records(plan, slot)]
    return [Record(offset, append_ns, value) for offset, (append_ns, value) in enumerate(said)]


def alerts(records: list[Record], *, live: bool = True) -> list[Alert]:
    """Match records under the shipped mappings."""
    taken = alerts_of(SHIPPED.rule_set, records, Identity("demo", "log", 0, live=live))
    assert taken.dead == []
    return [raised.alert for raised in taken.alerts]


def incidents(found: list[Alert]) -> set[str]:
    """Return the rules of the incidents of these alerts."""
    revision = Revision(number=1, digest=sha256(rule_set_content(SHIPPED.rule_set)), rule_set=SHIPPED.rule_set)
    return {incident.rule.id for incident in Correlator("demo", revision).feed((alert, alert.append_ns) for alert in found)}


def pairs(found: list[Alert]) -> set[tuple[str, str]]:
    """Return who was alerted of what."""
    return {(alert.rule.id, alert.device.id) for alert in found}


@pytest.mark.parametrize("episode", LIVE, ids=lambda episode: episode.name)
def test_a_live_episode_gives_the_alerts_and_incidents_that_it_names(episode: Episode) -> None:
    """Each alone, with the site's chatter around it."""
    plan = site.Plan(7, NOW, site.live(7, NOW, SECOND, repeats=False).slot_ns, ((2 * SECOND, episode),))

    found = alerts(log_of(plan, range(100)))

    assert pairs(found) == episode.alerts
    assert incidents(found) == episode.incidents


def test_an_episode_is_the_same_wherever_slots_cut_it() -> None:
    """The same alerts with the same counts, all of them, when everything happens a little later."""
    plan = site.live(7, NOW, SECOND, repeats=False)
    moved = plan._replace(happenings=tuple((at + 37_123_457, episode) for at, episode in plan.happenings))

    first, second = (alerts(log_of(one, range(LIVE_SLOTS))) for one in (plan, moved))

    counts = [{(alert.rule.id, alert.device.id): alert.count for alert in found} for found in (first, second)]
    assert counts[0] == counts[1]
    assert pairs(first) == set().union(*(episode.alerts for episode in LIVE))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)])
def test_a_night_gives_beacons_silence_recruitment_and_one_incident_for_a_dead_switch(seed: int) -> None:
    """What takes hours is found in a recording, and nothing else is found there."""
    found = alerts(log_of(site.night(seed, NOW), range(NIGHT_SLOTS)), live=False)

    assert pairs(found) == set().union(*(episode.alerts for _, episode in HOURS))
    assert incidents(found) == set().union(*(episode.incidents for _, episode in HOURS))


@pytest.mark.parametrize("slot_ns", [100_000_000, 30 * SECOND])
def test_the_normal_rhythm_of_the_site_means_nothing(slot_ns: int) -> None:
    """Without episodes there are no alerts."""
    quiet = site.Plan(11, NOW, slot_ns)

    assert alerts(log_of(quiet, range(60 * MINUTE // slot_ns if slot_ns > SECOND else 600))) == []


def test_a_slot_is_the_same_whenever_it_is_asked_for() -> None:
    """Records are a function of plan and slot; another seed chatters differently."""
    plan = site.live(3, NOW, SECOND, repeats=True)

    assert site.records(plan, 25) == site.records(plan, 25)
    assert site.records(plan, 25) != site.records(plan._replace(seed=4), 25)


def test_a_plan_that_repeats_begins_again() -> None:
    """The endless demonstration plays its episodes in a circle."""
    plan = site.live(3, NOW, 5 * SECOND, repeats=True)
    first, again = NOW + SECOND, NOW + (1 + 5 * len(LIVE)) * SECOND

    assert [episode.name for _, episode in plan.during(first, first + SECOND)] == [LIVE[0].name]
    assert (again, LIVE[0]) in list(plan.during(again, again + SECOND))
    assert list(plan._replace(repeat_ns=0).during(again, again + SECOND)) == []


def test_each_episode_is_told_in_the_one_slot_in_which_it_begins() -> None:
    """In their order, and anew in each round."""
    plan = site.live(3, NOW, 5 * SECOND, repeats=True)

    assert [name for slot in range(2 * 50 * len(LIVE)) for name in plan.begun(slot)] == 2 * [one.name for one in LIVE]


def test_devices_are_those_of_the_inventory_and_peers_are_reserved_or_inside() -> None:
    """No packet ever reaches the addresses that the demonstration names."""
    known = {device.info.id: device.info for device in SHIPPED.rule_set.devices}
    addresses = {address for info in known.values() for address in info.addresses}
    bursts: list[Burst] = [burst for episode in [*LIVE, *(one for _, one in HOURS)] for burst in episode.bursts]

    assert {burst.device for burst in bursts} | {rhythm.device for rhythm in site.RHYTHMS} | KINDS.keys() <= set(known)
    assert {device: known[device].device_class for device in KINDS} == KINDS
    assert all(burst.peer in addresses or burst.peer.startswith(("198.51.100.", "203.0.113.")) for burst in bursts if burst.peer)


def test_live_frames_and_json_lie_side_by_side_and_a_recording_holds_frames() -> None:
    """Every kind of record that a log may hold is there; a file begins with what it holds to its end."""
    night = [record.value for record in log_of(site.night(3, NOW), range(240))]
    live = [record.value for record in log_of(site.live(3, NOW, SECOND, repeats=False), range(200))]

    assert {value[5] for value in night if value.startswith(b"SPKB")} == {0, 1, 2}
    assert all(value.startswith(b"SPKB") for value in night)
    json = [msgspec.json.decode(value) for value in live if not value.startswith(b"SPKB")]
    assert any("spike_count" in event for event in json if isinstance(event, dict))
    assert any(isinstance(events, list) and "peer" in events[0] for events in json)
    assert site.night(3, NOW).begin_ns == NOW - 6 * HOUR
