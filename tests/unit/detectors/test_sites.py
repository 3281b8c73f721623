"""Alarms of one site: those of several devices at once are one incident, and each is still told."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from spikebridge_detectors.alarm import Alarm
from spikebridge_detectors.elapsed import DAY_NS, SECOND_NS
from spikebridge_detectors.evaluate import report
from spikebridge_detectors.evaluate.measure import Clean
from spikebridge_detectors.evaluate.protocol import rate
from spikebridge_detectors.sites import WITHIN_NS, grouped


def at(*seconds: int, kind: str = "silence") -> list[Alarm]:
    """Return alarms at these times."""
    return [Alarm(second * SECOND_NS, 0, kind, 1.5) for second in seconds]


def test_alarms_of_several_devices_within_ten_minutes_are_one_incident_of_their_site() -> None:
    """Counted from the first of them; what comes later is another, and one device alone is none of a site."""
    found = grouped({"lock": at(100, 900), "hub": at(90, 690), "lamp": at(691, 1200)})
    assert [(one.devices, one.of_a_site) for one in found] == [(["hub", "lock"], True), (["lamp", "lock"], True)]
    assert [(device, alarm.time_ns // SECOND_NS) for device, alarm in found[1].alarms] == [
        ("lamp", 691),
        ("lock", 900),
        ("lamp", 1200),
    ]
    assert [one.of_a_site for one in grouped({"lock": at(0, 100), "hub": at(601)})] == [False, False]
    assert grouped({"lock": []}) == []


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 10_000), max_size=20)))
def test_no_alarm_is_left_out_or_told_twice(seconds: dict[str, list[int]]) -> None:
    """Each is in just one incident, none is longer than ten minutes, and one begins after the one before has ended."""
    alarms = {device: at(*some) for device, some in seconds.items()}
    found = grouped(alarms)
    told = [one for incident in found for one in incident.alarms]
    assert sorted(told) == sorted((device, alarm) for device, raised in alarms.items() for alarm in raised)
    begins = [incident.alarms[0][1].time_ns for incident in found]
    assert all(incident.alarms[-1][1].time_ns - begin <= WITHIN_NS for incident, begin in zip(found, begins, strict=True))
    assert all(later - begin > WITHIN_NS for begin, later in pairwise(begins))


def test_a_report_names_incidents_of_a_site_and_counts_each_alarm() -> None:
    """Grouped for who reads, never fewer for the rate."""
    alarms = {"hub": at(5 * 86_400 + 3_700, kind="spread"), "lock": at(5 * 86_400 + 3_600, 6 * 86_400)}
    none = rate(0, DAY_NS)
    found = report.clean(Clean(rate(3, 2 * DAY_NS), {"hub": none, "lock": none}, {"silence": 2, "spread": 1}, grouped(alarms)))
    assert (found["alarms"], found["incidents"]) == (3, 2)
    assert found["site_incidents"] == [
        {
            "seconds": 435_600.0,
            "alarms": [
                {"device": "lock", "kind": "silence", "seconds": 435_600.0},
                {"device": "hub", "kind": "spread", "seconds": 435_700.0},
            ],
        }
    ]
    assert report.sites_text(found) == "Incidents of the site: day 5 at 01:00:00, lock silence, hub spread 100 s later."
    assert report.sites_text(found | {"site_incidents": []}) == "Incidents of the site: none."
