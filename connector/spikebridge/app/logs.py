"""What a service asks of the logs that it lives on: `embedded.py` gives it over a spool, `clustered.py` over Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from spikebridge.app.status import StageStatus
    from spikebridge.app.worker import Worker
    from spikebridge.config import Config
    from spikebridge.delivery import DeadLetters, Health, Sink
    from spikebridge.filter import Filter
    from spikebridge.metrics import Metrics
    from spikebridge.store import Store


class Runtime(NamedTuple):
    """What every stage is given; `clock` is the wall clock in ns, `random` is in [0, 1), `ending` ends every wait."""

    config: Config
    store: Store
    metrics: Metrics
    letters: DeadLetters
    clock: Callable[[], int]
    random: Callable[[], float]
    ending: Event


class Route(NamedTuple):
    """A configured sink with what it wants."""

    name: str
    sink: Sink
    where: Filter


class Courier(Protocol):
    """What brings the alert log to one sink, in a thread of its own."""

    reader: str

    def run(self) -> None:
        """Deliver until the service ends; what is in hand is finished."""

    def health(self) -> Health:
        """Say how the sink is, from any thread."""

    def drained(self) -> bool:
        """Say, from any thread, whether the sink has all that there is for it."""


class Logs(Protocol):
    """The spike log and the alert log of a service."""

    def check(self) -> None:
        """Raise what the stages would wait for before they begin: who reads to the end and leaves does not wait."""

    def readers(self) -> list[Worker]:
        """Make the workers of the spikes stage, not started yet."""

    def correlators(self) -> list[Worker]:
        """Make the workers of the incident stage, not started yet."""

    def courier(self, route: Route) -> Courier:
        """Make what delivers to a sink, not started yet."""

    def troubles(self) -> list[StageStatus]:
        """Return what single partitions fail with while their neighbours go on."""

    def watch(self, stop: Event) -> None:
        """Publish every good edit of mappings and inventory until told to stop, where that is this process's work."""

    def revision(self) -> int | None:
        """Return the number of a revision that is in force, None while no record was read."""

    def refused(self) -> list[str]:
        """Return the problems of the newest edit of mappings and inventory, [] when it is in force."""

    def keep_house(self) -> None:
        """Let go of what is old; called every minute."""

    def measure(self) -> None:
        """Set the gauges that say how far behind the spikes stage is."""

    def close(self) -> None:
        """Let go, after every worker and courier has ended."""
