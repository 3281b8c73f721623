"""What a service is made of, and which of its stages it runs."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

from spikebridge import registry
from spikebridge.errors import SpikebridgeError
from spikebridge.logs.kafka.revisions import RevisionsTopic
from spikebridge.logs.kafka.settings import client_of
from spikebridge.logs.spool import Retention, Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from spikebridge.config import Config
    from spikebridge.config import Sink as SinkConfig
    from spikebridge.delivery import Sink
    from spikebridge.kafka.client import Client
    from spikebridge.logs import Numbered
    from spikebridge.logs.kafka import Settings


class Stages(NamedTuple):
    """Which stages a process runs; `sinks` are those that it delivers to."""

    spikes: bool
    incidents: bool
    sinks: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Return them as `--stages` takes them."""
        chosen = [("spikes", self.spikes), ("incidents", self.incidents)]
        return [name for name, runs in chosen if runs] + [f"deliver:{sink}" for sink in self.sinks]

    @classmethod
    def parse(cls, text: str, sinks: Iterable[str]) -> Stages:
        """Read `spikes,incidents,deliver,deliver:NAME`; "" means all. `sinks` are the configured names."""
        known = tuple(sinks)
        if not text:
            return cls(spikes=True, incidents=True, sinks=known)
        words = {word.strip() for word in text.split(",")}
        possible = ["spikes", "incidents", "deliver", *(f"deliver:{name}" for name in known)]
        for word in sorted(words):
            if word not in possible:
                raise SpikebridgeError(f'--stages: expected {", ".join(possible)}, found "{word}"')
        chosen = tuple(name for name in known if "deliver" in words or f"deliver:{name}" in words)
        return cls(spikes="spikes" in words, incidents="incidents" in words, sinks=chosen)


def open_spool(config: Config) -> Spool:
    """Open the spool of the data directory under the configured retention, which keeps look-back and two days of alerts."""
    kept = config.spool
    retention = Retention(
        age_ns=kept.age_ns,
        max_bytes=kept.max_bytes,
        alert_age_ns=kept.alert_age_ns,
        alert_max_bytes=kept.alert_max_bytes,
        look_back_ns=config.limits.look_back_ns,
        on_full=kept.on_full,
    )
    return Spool(config.data, retention)


@contextmanager
def open_revisions(config: Config, *, read_only: bool = False) -> Iterator[Numbered]:
    """Open the revisions log of the configuration: a table of the spool, or a topic; one that is only read must be there."""
    if config.source is None:
        with Spool(config.data, read_only=True) if read_only else open_spool(config) as spool:
            yield spool
        return
    settings = cast("Settings", config.source.settings)
    with ExitStack() as opening:
        client = client_of(settings)
        reader = opening.enter_context(closing(client.reader()))
        producer = None if read_only else opening.enter_context(closing(client.producer()))
        yield RevisionsTopic(settings.names(config.tenant).revisions, reader, producer)


def revisions_place(config: Config) -> str:
    """Name the revisions log of the configuration in messages."""
    return f"the revisions of log {config.source.name}" if config.source else f"the spool of {config.data}"


def make_sink(sink: SinkConfig, config: Config) -> Sink:
    """Make a configured sink, closed."""
    made: Sink = registry.load("sinks", sink.type)(sink.settings, config.data)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a service takes from outside; tests give others. `clock` is the wall clock in ns."""

    spool: Callable[[Config], Spool] = open_spool
    sink: Callable[[SinkConfig, Config], Sink] = make_sink
    client: Callable[[Settings], Client] = client_of
    clock: Callable[[], int] = time.time_ns
    random: Callable[[], float] = random.random
