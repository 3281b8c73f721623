"""
Every metric that Spikebridge has, declared once, and the numbers of one process.

Code names a metric by its constant, so what is counted is declared, and the manual's table is made of `METRICS`.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import Metric as Family

SERIES_PER_METRIC = 1_000
"""Labels that others may choose can't fill the memory: what comes later is counted under `other`."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""The upper bounds of histograms."""


class Metric(NamedTuple):
    """One metric: what it is called, what it says, what tells its series apart."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()


METRICS: list[Metric] = []


def _declare(name: str, kind: Literal["counter", "gauge", "histogram"], text: str, *labels: str) -> Metric:
    metric = Metric(f"spikebridge_{name}", kind, text, labels)
    METRICS.append(metric)
    return metric


RECORDS = _declare("records_total", "counter", "Records read from the spike log.", "log")
SPIKES = _declare("spikes_total", "counter", "Spikes read from the spike log.", "log")
REFUSED = _declare("records_refused_total", "counter", "Records, or parts of one, that are no spikes: dead letters.", "reason")
DUPLICATES = _declare("duplicates_total", "counter", "Frames dropped because the log holds the same frame already.", "log")
RETIMED = _declare("retimed_total", "counter", "Frames whose times were out of range and that count at their append time.", "log")
DETECTED = _declare("detected_total", "counter", "Frames of raw sensor spikes that a model has read.", "log")
UNFIT = _declare(
    "unfit_total", "counter", "Frames of raw sensor spikes that don't fit the model of their class: dead letters.", "log"
)
UNDETECTED = _declare(
    "undetected_total", "counter", "Frames of raw sensor spikes of a class that no model serves: they only prove life.", "log"
)
CROWDED = _declare("crowded_total", "counter", "Frames refused because too many unknown devices spoke in one minute.", "log")
MARKERS_IGNORED = _declare(
    "markers_ignored_total", "counter", "Markers with a revision that is unknown or lower than the one in force.", "log"
)
ALERTS = _declare("alerts_total", "counter", "Alerts appended to the alert log.", "severity")
UNAPPENDED = _declare(
    "unappended_total",
    "counter",
    "Alerts and incidents that the alert topic never takes, too large for it: dead letters of every sink.",
)
SUPPRESSED = _declare(
    "suppressed_total", "counter", "Records at which a rule's condition held again in its interval, as later alerts report."
)
INCIDENTS = _declare("incident_changes_total", "counter", "Incidents appended to the alert log, each time one has grown.")
INCIDENT_ALERTS = _declare("incident_alerts", "gauge", "Alerts of the last day that are held for correlation.")
INCIDENTS_LEFT_OUT = _declare("incidents_left_out", "gauge", "Alerts left out of correlation because too many were held.")
STAGE_UP = _declare(
    "stage_up", "gauge", "1 while a stage works, 0 while it or one of its partitions fails and tries again.", "stage"
)
LAG = _declare("lag_records", "gauge", "Records of the spike log that the spikes stage has not matched yet.", "log", "partition")
APPEND_AHEAD = _declare(
    "append_clock_ahead_seconds", "gauge", "How far append times are ahead of the wall clock; below 0: behind it.", "log"
)
REVISION = _declare("revision", "gauge", "The number of the revision in force.", "log")
RELOADS_REFUSED = _declare(
    "reloads_refused_total",
    "counter",
    "Changed mapping or inventory files, and revisions, that were refused; the last good revision stays.",
)
BATCH_SECONDS = _declare("batch_seconds", "histogram", "From the poll of a batch of records to its commit.")
DELIVERED = _declare("delivered_total", "counter", "Entries of the alert log that a sink acknowledged.", "sink")
FILTERED = _declare("filtered_total", "counter", "Entries that a sink's filter left out.", "sink")
REPEATS = _declare("repeats_total", "counter", "Entries dropped before a sink because it had them already.", "sink")
KNOWN = _declare("known_total", "counter", "Entries that a sink was given and had already, as far as it can tell.", "sink")
DOUBTFUL = _declare(
    "doubtful_total",
    "counter",
    "Entries given to a sink again that may have arrived: an answer or acknowledgement was lost.",
    "sink",
)
MISSED = _declare("missed_total", "counter", "Entries that retention took before a sink had read them.", "sink")
PASSED_OVER = _declare(
    "passed_over_total", "counter", "Records in the alert topic that are none of ours: a reader says so and goes on.", "reader"
)
GIVEN_UP = _declare(
    "given_up_total",
    "counter",
    "What the store gave up for newer ones, since it was made: a finding, or a refused record.",
    "what",
)
DEAD_LETTERS = _declare("dead_letters_total", "counter", "Entries that a sink refused for good.", "sink")
RETRIES = _declare("retries_total", "counter", "Attempts of a sink that failed and are made again.", "sink")
SINK_UP = _declare("sink_up", "gauge", "1 while the sink's last attempt succeeded, otherwise 0.", "sink")
SINK_LAG = _declare("sink_lag_entries", "gauge", "Entries of the alert log that a sink has not acknowledged yet.", "sink")
SINK_OLDEST = _declare(
    "sink_oldest_seconds", "gauge", "Age of the oldest entry that a sink has not acknowledged, 0 when there is none.", "sink"
)
WRITE_SECONDS = _declare("write_seconds", "histogram", "From handing a batch to a sink to its acknowledgement.", "sink")

_OTHER = "other"


class _Histogram:
    """How many values lie at or below each bound, above the one before it."""

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(SECONDS, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        bounds = [*map(str, SECONDS), "+Inf"]
        return list(zip(bounds, accumulate(map(float, self.counts)), strict=True))


class Metrics:
    """The numbers of one process, from any thread."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._lock = Lock()
        self._numbers: dict[Metric, dict[tuple[str, ...], float]] = {metric: {} for metric in METRICS}
        self._histograms: dict[tuple[Metric, tuple[str, ...]], _Histogram] = {}
        self._sources: list[Callable[[], None]] = []

    def inc(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Count something; an amount of 0 makes the series appear."""
        with self._lock:
            series = self._numbers[metric]
            key = _key(metric, labels, series)
            series[key] = series.get(key, 0) + amount

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Say how much of something there is."""
        with self._lock:
            series = self._numbers[metric]
            series[_key(metric, labels, series)] = value

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Add one value to a histogram."""
        with self._lock:
            series = self._numbers[metric]
            key = _key(metric, labels, series)
            series[key] = series.get(key, 0) + 1
            self._histograms.setdefault((metric, key), _Histogram()).add(value)

    def value(self, metric: Metric, **labels: str) -> float:
        """Return a number, for a histogram how many values it has; 0 for what never was."""
        with self._lock:
            series = self._numbers[metric]
            return series.get(_key(metric, labels, series), 0)

    def before_render(self, source: Callable[[], None]) -> None:
        """Have a function called before each rendering, to `set` what is only known by looking."""
        self._sources.append(source)

    def render(self) -> bytes:
        """Write all numbers in the text format of Prometheus."""
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 -- loaded for who asks

        for source in self._sources:
            source()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterable[Family]:
        """Hand the numbers to prometheus_client."""
        with self._lock:
            return list(self._families())

    def _families(self) -> Iterator[Family]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily  # noqa: PLC0415 -- loaded for who asks

        for metric, series in self._numbers.items():
            if metric.kind == "histogram":
                histogram = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
                for key in series:
                    values = self._histograms[metric, key]
                    histogram.add_metric(key, values.buckets(), values.total)
                yield histogram
            else:
                family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
                numbers = family(metric.name, metric.text, labels=metric.labels)
                for key, number in series.items():
                    numbers.add_metric(key, number)
                yield numbers


def _key(metric: Metric, labels: dict[str, str], series: dict[tuple[str, ...], float]) -> tuple[str, ...]:
    """Order the labels as declared; a label that wasn't is a mistake in our code."""
    if labels.keys() != set(metric.labels):
        raise TypeError(f"{metric.name} has the labels {metric.labels}, not {tuple(labels)}")
    key = tuple(labels[name] for name in metric.labels)
    full = len(series) >= SERIES_PER_METRIC and key not in series
    return (_OTHER,) * len(key) if full else key
