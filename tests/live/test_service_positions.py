"""Positions that others have changed, that were committed by other versions, or whose past is gone: said, and no record is left out."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata
from tests.live.running import Site, await_true, once_each

from spikebridge.app.content import load_tested
from spikebridge.app.parts import open_revisions
from spikebridge.config import load_config
from spikebridge.kafka.client import Partition, Place
from spikebridge.limits import RULES_VERSION
from spikebridge.logs.kafka import sealed
from spikebridge.logs.kafka.sealed import Home
from spikebridge.mapping.rules import rule_set_content
from spikebridge.spikes.frame import encode_tick

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.servers.kafka import Cluster

BACK, FORWARD, BEYOND, DELETED, OLDER, NEWER, CUT, LEFT_ALONE = range(8)
"""A partition for each thing that may happen to a position."""

GAPS = {BACK, FORWARD, CUT}
"""Where a gap is told by now; beyond the end it is told at the record of that position, so that readers who passed it hear of it."""


class Positions:
    """The positions of the spikes group, while no instance runs."""

    def __init__(self, site: Site) -> None:
        """Read them."""
        self.site = site
        self.places = {partition.number: place for partition, place in site.committed().items()}

    def set(self, number: int, place: Place) -> None:
        """Commit a position from outside, as `kafka-consumer-groups --reset-offsets` does."""
        with self.site.cluster.admin() as admin:
            changed = {self._partition(number): OffsetAndMetadata(place.offset, place.metadata, -1)}
            told = admin.alter_group_offsets(self.site.group, changed)
            assert [error.errno for error in told.values()] == [0]

    def delete(self, number: int) -> None:
        """Forget one."""
        with self.site.cluster.admin() as admin:
            admin.delete_group_offsets(self.site.group, [self._partition(number)])

    def cut(self, number: int, offset: int) -> None:
        """Take the records before an offset away, as retention does."""
        with self.site.cluster.admin() as admin:
            admin.delete_records({self._partition(number): offset})

    def in_json(self, number: int, home: Home) -> Place:
        """Return a position in the words of the first version."""
        place = self.places[number]
        commit = sealed.read_commit(place, home)
        said = {"cluster": home.cluster, "topic": home.topic, "append_ns": commit.append_ns, "pairs": commit.pairs}
        return Place(place.offset, json.dumps(said))

    def _partition(self, number: int) -> TopicPartition:
        return TopicPartition(self.site.spikes, number)


def test_positions_that_were_changed_are_said_and_leave_no_record_out(kafka: Cluster, tmp_path: Path, library: str) -> None:
    """Set back, forward and beyond the end, deleted, of an older and of a newer version, cut by retention: each on a partition of its own."""
    with Site(kafka, tmp_path, library=library, partitions=LEFT_ALONE + 1) as site:
        first = site.instance().start()
        before = {number: site.send(3, partition=number) for number in range(LEFT_ALONE + 1)}
        first.await_received(set().union(*before.values()))
        first.stop()
        positions = Positions(site)
        after = {number: site.send(3, partition=number) for number in range(LEFT_ALONE + 1)}
        home = Home(*site.findings()[0].log.split("/"))
        positions.set(BACK, Place(0))
        positions.set(FORWARD, Place(positions.places[FORWARD].offset + 3))
        positions.set(BEYOND, positions.places[BEYOND]._replace(offset=1_000))
        positions.delete(DELETED)
        positions.set(OLDER, positions.in_json(OLDER, home))
        positions.set(NEWER, Place(positions.places[NEWER].offset, "9of-tomorrow"))
        positions.cut(CUT, positions.places[CUT].offset + 1)
        second = site.instance().start()
        second.await_said(rf"spikes: {site.spikes}-{NEWER}: .*a newer version of Spikebridge .*upgrade this one; trying again")
        second.await_metric(0, "stage_up", stage="spikes")
        second.await_received(set().union(*(after[number] for number in (*range(NEWER), LEFT_ALONE))))
        second.await_said(f"{site.spikes}-{BACK}: the committed position 0 is not ours")
        second.await_said(f"{site.spikes}-{FORWARD}: the committed position .* is not ours")
        second.await_said(f"partition {BEYOND}: .*before the committed position 1000: .*reading anew from 0 on")
        second.stop()
        positions.set(NEWER, positions.places[NEWER])
        third = site.instance().start()
        third.await_received(after[NEWER])
        # A gap is told at a record that nobody can have read, so one more is needed where a position was beyond all of them.
        last = set().union(*(site.send(1, partition=number) for number in range(LEFT_ALONE + 1)))
        third.await_received(last)
        await_true(lambda: third.metric("stage_up", stage="spikes") == 1)
        found = Counter(alert.device.id for alert in site.findings())
        kept = last.union(*before.values(), *(after[number] for number in range(LEFT_ALONE + 1) if number != CUT))
        assert Counter({device: number for device, number in found.items() if device in kept}) == once_each(kept)
        assert len(found.keys() & after[CUT]) == 2, "the one that retention took is gone, and no other"
        gaps = {alert.partition for alert in site.findings() if alert.rule.id == "log_gap"}
        assert gaps == GAPS
        # Whoever sets a position back has the gap told at a record that has alerted already: its alert becomes the second of its record.
        moved = [alert for alert in site.findings() if alert.id in site.differing()]
        assert {(alert.partition, alert.offset) for alert in moved} <= {(BACK, 0)}


def test_a_revision_of_a_newer_version_stops_its_partition_at_the_marker(site: Site, tmp_path: Path) -> None:
    """The partition says what it waits for, its neighbours go on, and nothing behind the marker is passed."""
    first = site.instance().start()
    before = site.send(6)
    first.await_received(before)
    first.stop()
    newer = publish_newer(site, tmp_path)
    good = site.publish(site.mappings.read_text())
    assert good > newer
    (marker,) = site.append({"": encode_tick(0, newer)}, partition=0)
    waiting, others = site.send(3, partition=0), site.send(3, partition=1)
    second = site.instance().launch()
    second.await_said(
        rf"spikes: {site.spikes}-0: revision {newer} needs version {RULES_VERSION + 1} of the rules, .*: upgrade it; trying again"
    )
    second.await_received(others)
    second.await_metric(0, "stage_up", stage="spikes")
    second.stop()
    assert site.alerted() == once_each(before | others)
    assert not site.alerted().keys() & waiting
    places = site.committed()
    assert places[Partition(site.spikes, 0)].offset <= marker, "nothing behind the marker was passed"


def publish_newer(site: Site, directory: Path) -> int:
    """Publish what the files say as a later version of Spikebridge would."""
    config = load_config(directory / "publish.yaml", {})
    content: dict[str, Any] = msgspec.json.decode(rule_set_content(load_tested(config).rule_set))
    with open_revisions(config) as revisions:
        return revisions.publish(msgspec.json.encode({**content, "rules_version": RULES_VERSION + 1}))
