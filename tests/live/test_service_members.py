"""Instances that come and go, and two that claim one name: partitions move, every alert is there, and nobody fights."""

from __future__ import annotations

import re
import time
from threading import Event, Thread

import pytest
from tests.live.running import SESSION, Site, await_true, once_each

from spikebridge.kafka.connection import Connection, Membership, connect

EVERY_S = 5.0
QUIET_S = 8.0
"""Longer than a session: who fences and is fenced in turn would have shown it."""


def test_of_two_instances_with_one_name_the_earlier_stays_out(site: Site) -> None:
    """It says so and goes on saying so; the later one has all partitions and isn't disturbed."""
    log = {"instance": "twin"}
    earlier = site.instance(log).start()
    first = site.send()
    earlier.await_received(first)
    later = site.instance(log).launch()
    told = earlier.await_said("spikes: .*another instance uses this name")
    assert re.search("give each instance an? `instance` of its own", told)
    second = site.send()
    later.await_received(second)
    earlier.await_metric(0, "stage_up", stage="spikes")
    assert "another instance uses this name" in earlier.troubles()
    begun = later.lines()
    time.sleep(QUIET_S)
    third = site.send()
    later.await_received(third)
    assert not later.said("another instance uses this name|is another's now", begun), "they fight"
    assert len(earlier.said("another instance uses this name")) <= 2 * len(("spikes", "incidents", "deliver:lines"))
    assert site.alerted() == once_each(first | second | third)
    earlier.stop()
    assert later.metric("stage_up", stage="spikes") == 1


def test_instances_come_and_go_and_every_alert_is_there(site: Site) -> None:
    """One more takes its share of the partitions, and gives it back."""
    one = site.instance().start()
    sent = site.send(6)
    other = site.instance().start()
    await_true(lambda: one.said(f"spikes: {site.spikes}-[01] is another's now"), tell=other.tail)
    sent |= site.send(6, partition=0) | site.send(6, partition=1)
    await_true(lambda: one.received().keys() | other.received().keys() >= sent, tell=other.tail)
    other.stop()
    sent |= site.send(6, partition=0) | site.send(6, partition=1)
    await_true(lambda: one.received().keys() | other.received().keys() >= sent, tell=one.tail)
    assert site.alerted() == once_each(sent)
    assert other.said(f"spikes: {site.spikes}-[01] is ours now")


@pytest.mark.parametrize(
    ("library", "for_s"),
    [
        pytest.param("kafka-python", 30.0, marks=pytest.mark.live),
        pytest.param("kafka-python", 120.0, marks=(pytest.mark.live_full, pytest.mark.timeout(900))),
        pytest.param("confluent", 30.0, marks=pytest.mark.live_full),
    ],
    indirect=["library"],
)
def test_a_rebalance_every_few_seconds_loses_and_doubles_nothing(site: Site, for_s: float) -> None:
    """Strangers join the groups of the spikes and of a sink, and leave once they own something, so that partitions move there and back."""
    instance = site.instance().start()
    sent = site.send()
    instance.await_received(sent)
    end, stranger = time.monotonic() + for_s, None
    while time.monotonic() < end:
        begun = instance.lines()
        stranger = None if stranger is not None else Stranger(site)
        due = time.monotonic() + EVERY_S
        while time.monotonic() < due:
            sent |= site.send(2)
            time.sleep(0.2)
        if stranger is not None:
            instance.await_said(f"spikes: {site.spikes}-[01] is another's now", begun)
            stranger.leave()
    instance.await_received(sent)
    assert site.alerted() == once_each(sent)
    assert instance.received() == once_each(sent)


class Stranger:
    """A member of the groups of one stage and one sink that owns partitions and does nothing with them."""

    def __init__(self, site: Site) -> None:
        """Join, and stay until `leave`."""
        servers = site.cluster.bootstrap().split(",")
        connection = Connection.model_validate({"servers": servers, "client": site.library})
        client = connect(connection, Membership.model_validate({"session": SESSION}))
        self._groups = [client.group(site.group, [site.spikes]), client.group(f"{site.group}.deliver.lines", [site.alerts])]
        self._leaving = Event()
        self._thread = Thread(target=self._stay, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Leave."""
        self._leaving.set()
        self._thread.join()
        for group in self._groups:
            group.close()

    def _stay(self) -> None:
        while not self._leaving.wait(0.05):
            for group in self._groups:
                group.poll()
