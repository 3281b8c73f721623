"""Consumer groups: who owns which partition, handed over cooperatively, and the positions that they keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.errors import LogBusy, LogRefused, LogUnavailable
from spikebridge.kafka.client import MAX_METADATA_BYTES, Changes, Partition, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spikebridge.testing.kafka import MemoryKafka


class Seat:
    """A place in a group: a member's, or, for a static name, whoever comes under it until the session ends."""

    def __init__(self, instance: str, member: MemoryGroup) -> None:
        """Give it to a member."""
        self.instance = instance
        self.member: MemoryGroup | None = member
        self.topics: set[str] = set()
        self.owned: set[Partition] = set()
        self.releases: set[Partition] = set()
        """To be given up at the next poll, whoever gets them."""


class GroupState:
    """One group as its coordinator has it; `polls` counts those of all members."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.seats: list[Seat] = []
        self.positions: dict[Partition, Place] = {}
        self.pinned: dict[Partition, Seat] = {}
        self.polls = 0

    def join(self, instance: str, member: MemoryGroup) -> Seat:
        """Take a seat; a static name displaces whoever sits on it."""
        for seat in self.seats:
            if instance and seat.instance == instance:
                if seat.member is not None:
                    seat.member.displaced = True
                seat.member = member
                return seat
        self.seats.append(Seat(instance, member))
        return self.seats[-1]

    def remove(self, seat: Seat) -> None:
        """Take a seat away, and its partitions at once."""
        if seat in self.seats:
            self.seats.remove(seat)
        seat.owned.clear()
        seat.releases.clear()
        self.pinned = {partition: wanted for partition, wanted in self.pinned.items() if wanted is not seat}

    def shares(self, partitions: Sequence[Partition]) -> dict[Partition, Seat]:
        """Say whose each partition should be: as many for each, and as few moves as that takes."""
        found: dict[Partition, Seat] = {}
        least, more = divmod(len(partitions), max(1, len(self.seats)))
        counts = dict.fromkeys(map(id, self.seats), 0)
        for partition in partitions:
            pinned = self.pinned.get(partition)
            seat = pinned or next((one for one in self.seats if partition in one.owned), None)
            if seat is None:
                continue
            if not pinned and counts[id(seat)] >= least:
                if not more or counts[id(seat)] > least:
                    continue
                more -= 1
            found[partition] = seat
            counts[id(seat)] += 1
        for partition in partitions:
            if partition not in found:
                found[partition] = min(self.seats, key=lambda one: counts[id(one)])
                counts[id(found[partition])] += 1
        return found


class MemoryGroup:
    """A member of a group: `Group` over memory."""

    holds_taken = True

    def __init__(self, kafka: MemoryKafka, name: str, instance: str, matches: Callable[[str], bool]) -> None:
        """Join."""
        self.displaced = False
        self._kafka = kafka
        self._state = kafka.groups.setdefault(name, GroupState())
        self._name = name
        self._matches = matches
        self._seat = self._state.join(instance, self)
        self._held: set[Partition] = set()
        self._told: set[Partition] = set()
        self._answers: list[tuple[Callable[[str], None], str]] = []
        self._closed = False

    def poll(self) -> Changes:
        """Hand over what the last poll told of, and tell what comes and goes."""
        with self._kafka.lock:
            answers, self._answers = self._answers, []
        for done, text in answers:
            done(text)
        with self._kafka.lock:
            self._kafka.reach(f"group {self._name}", coordinator=True)
            self._in_force()
            self._state.polls += 1
            lost = self._held - self._seat.owned - self._told
            self._seat.owned -= self._told
            self._seat.releases -= self._told
            wanted = self._wanted()
            taken = (self._held - lost - self._told) & ((self._held - wanted) | self._seat.releases)
            owned = {partition for seat in self._state.seats for partition in seat.owned}
            given = {partition for partition in wanted if partition not in owned or partition in self._seat.owned - self._held}
            self._seat.owned |= given
            self._held, self._told = (self._held - self._told - lost - taken) | given | taken, taken
            return Changes(frozenset(given), frozenset(taken), frozenset(lost))

    def _wanted(self) -> set[Partition]:
        """Return what should be ours; nobody who was put out comes back before this."""
        if self._seat not in self._state.seats:
            self._state.seats.append(self._seat)
        shares = self._state.shares(self._kafka.partitions(self._matches))
        return {partition for partition, seat in shares.items() if seat is self._seat}

    def committed(self, partition: Partition) -> Place | None:
        """Look it up."""
        with self._kafka.lock:
            self._kafka.reach(f"group {self._name}", coordinator=True)
            return self._state.positions.get(partition)

    def commit(self, places: Mapping[Partition, Place], done: Callable[[str], None]) -> None:
        """Commit now, unless a test has it refused, and tell at the next poll."""
        for partition, place in places.items():
            if len(place.metadata.encode()) > MAX_METADATA_BYTES:
                raise LogRefused(f"group {self._name}, position of {partition}: more metadata than {MAX_METADATA_BYTES:,} bytes")
        with self._kafka.lock:
            self._in_force()
            text = self._kafka.refusal(places)
            if self._seat not in self._state.seats:
                text = text or f"group {self._name}, commit: the group has gone on without us"
            if not text:
                gone = [partition for partition in places if not self._kafka.has(partition)]
                self._state.positions |= {partition: place for partition, place in places.items() if partition not in gone}
                text = f"group {self._name}, commit: there is no such topic or partition: {gone[0]}" if gone else ""
            self._answers.append((done, text))

    def close(self) -> None:
        """Leave, unless the membership is static."""
        with self._kafka.lock:
            closed, self._closed = self._closed, True
            if not closed and not self.displaced:
                if self._seat.instance:
                    self._seat.member = None
                else:
                    self._state.remove(self._seat)
            answers, self._answers = self._answers, []
        for done, text in answers:
            done(text)

    def _in_force(self) -> None:
        if self._closed:
            raise LogUnavailable(f"group {self._name}: closed")
        if self.displaced:
            raise LogBusy(f"group {self._name}: another instance uses the name {self._seat.instance}")
