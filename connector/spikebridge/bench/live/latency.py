"""From the moment an event is handed to the producer to Elasticsearch's answer for its alert."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from spikebridge.bench.live import load
from spikebridge.bench.live.contest import CLIENTS, load_average, rows_mapping
from spikebridge.bench.live.load import Load
from spikebridge.bench.live.relay import Relay
from spikebridge.bench.live.throughput import PARTITIONS
from spikebridge.bench.measure import Line
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikebridge.bench.live.contest import Contest
    from spikebridge.bench.live.ours import Instance

IDLE_PER_S = 10
_IDLE_EVENTS = 300
_BUSY_S = 20
_EVERY = 100
_SLICE_S = 0.05
_WARM_EVENTS = 20
_LAST_S = 60.0
_DEFAULT_RATE = 20_000.0

Sent = dict[tuple[str, str], int]


def latency(contest: Contest) -> Iterator[Line]:
    """Yield p99 idle and at half of what the JSON row carried, p50 among the conditions."""
    if not contest.elasticsearch:
        raise SpikebridgeError("latency: expected --elasticsearch URL, found none")
    for client in CLIENTS:
        with Relay(contest.elasticsearch) as relay:
            topic = contest.broker.unique("latency")
            contest.broker.make(topic, PARTITIONS)
            sink = {"out": {"type": "elasticsearch", "endpoint": relay.url}}
            service = contest.ours(topic, rows_mapping(), client, sink)
            with service.start("spikes,deliver:out") as instance:
                sender = _Sender(contest, topic)
                _arrived(relay, sender.idle(_WARM_EVENTS), instance)
                idle = _arrived(relay, sender.idle(_IDLE_EVENTS), instance)
                yield _line(f"latency_idle_{client}", idle, must=100.0, aim=50.0, per_s=IDLE_PER_S)
                rate = contest.json_rates.get(client, 2 * _DEFAULT_RATE) / 2
                began = time.monotonic()
                sent = sender.busy(rate, _BUSY_S)
                reached = sender.count / (time.monotonic() - began)
                busy = _arrived(relay, sent, instance)
                yield _line(f"latency_half_{client}", busy, per_s=round(reached), wanted_per_s=round(rate))


class _Sender:
    """Makes events, each that hits with a device and row that none had before."""

    def __init__(self, contest: Contest, topic: str) -> None:
        self.count = 0
        self._broker = contest.broker
        self._topic = topic
        self._made = 0

    def idle(self, count: int) -> Sent:
        """Send one at a time, at an even rate."""
        sent: Sent = {}
        for _ in range(count):
            began = time.monotonic()
            key, one = self._hit()
            sent[key] = time.time_ns()
            self._broker.append(self._topic, [one])
            time.sleep(max(0.0, 1 / IDLE_PER_S - (time.monotonic() - began)))
        return sent

    def busy(self, per_s: float, seconds: float) -> Sent:
        """Send in slices, one event in a hundred a hit; a slice that comes late isn't made up for."""
        sent: Sent = {}
        self.count = 0
        due = time.monotonic()
        end = due + seconds
        while due < end:
            some: list[Load] = []
            for at in range(round(per_s * _SLICE_S)):
                if at % _EVERY == 0:
                    key, one = self._hit()
                    sent[key] = 0
                else:
                    one = self._miss(at)
                some.append(one)
            now_ns = time.time_ns()
            sent.update({key: now_ns for key, at_ns in sent.items() if not at_ns})
            self._broker.append(self._topic, some)
            self.count += len(some)
            due = max(due + _SLICE_S, time.monotonic() - _SLICE_S)
            time.sleep(max(0.0, due - time.monotonic()))
        return sent

    def _hit(self) -> tuple[tuple[str, str], Load]:
        rows = load.rows()
        number, neuron = self._made // len(rows), rows[self._made % len(rows)].neuron
        self._made += 1
        device = f"sensor-m{number:06d}"
        return (device, str(neuron)), Load(device, number % PARTITIONS, load.event(device, neuron, time.time_ns()))

    def _miss(self, at: int) -> Load:
        number = at % load.DEVICES
        device = f"sensor-q{number:06d}"
        return Load(device, number % PARTITIONS, load.event(device, at % load.MAPPED, time.time_ns()))


def _arrived(relay: Relay, sent: Sent, instance: Instance) -> list[float]:
    """Wait for the last, and return what each took, in ms."""
    end = time.monotonic() + _LAST_S
    while missing := sent.keys() - relay.answered.keys():
        if time.monotonic() > end or not instance.running:
            raise SpikebridgeError(f"latency: {len(missing)} of {len(sent)} alerts never came:\n{instance.complaint()}")
        time.sleep(_SLICE_S)
    return sorted((relay.answered[key] - at_ns) / 1e6 for key, at_ns in sent.items())


def _line(name: str, took: list[float], *, must: float | None = None, aim: float | None = None, **more: object) -> Line:
    said: dict[str, Any] = {
        "p50": round(took[len(took) // 2], 1),
        "largest": round(took[-1], 1),
        "alerts": len(took),
        "from": "before the producer is called (acks=all)",
        "to": "a relay has Elasticsearch's whole answer",
        "load_average": load_average(),
    }
    p99 = round(took[min(len(took) - 1, len(took) * 99 // 100)], 1)
    return Line(name=name, value=p99, unit="ms (p99)", must=must, aim=aim, conditions={**said, **more})
