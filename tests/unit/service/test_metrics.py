"""Metrics: declared once, bounded, readable by Prometheus, used and in the manual."""

from __future__ import annotations

import ast
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import spikebridge
from spikebridge import metrics as numbers
from spikebridge.metrics import METRICS, SERIES_PER_METRIC, Metric, Metrics

PACKAGE = Path(spikebridge.__file__).parent
DECLARED = {name for name, value in vars(numbers).items() if isinstance(value, Metric)}


def test_every_metric_has_a_name_of_its_own_and_a_sentence() -> None:
    """Counters end as Prometheus wants it, units are in the names."""
    assert len({metric.name for metric in METRICS}) == len(METRICS) == len(DECLARED)
    for metric in METRICS:
        assert metric.name.startswith("spikebridge_")
        assert metric.text.endswith(".")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.endswith("_seconds") or metric.kind != "histogram"


def test_every_metric_is_in_the_manual() -> None:
    """The generated table of the reference names each one with its labels."""
    manual = (Path(__file__).parents[3] / "connector" / "README.md").read_text(encoding="utf-8")
    assert [metric.name for metric in METRICS if metric.name not in manual] == []


def test_every_declared_metric_is_counted_somewhere_and_nothing_else_is() -> None:
    """No metric is a promise without code, and none is made up where it is counted."""
    used: set[str] = set()
    made_up: list[str] = []
    for path in PACKAGE.rglob("*.py"):
        if path.name == "metrics.py":
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Attribute) and node.attr in DECLARED:
                used.add(node.attr)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Metric":
                made_up.append(f"{path}:{node.lineno}")
    assert sorted(DECLARED - used) == []
    assert made_up == []


def test_what_is_rendered_is_what_was_counted() -> None:
    """The text is that of Prometheus, whatever letters a label has."""
    metrics = Metrics()
    metrics.inc(numbers.DELIVERED, 3, sink='a"\n\\b')
    metrics.inc(numbers.DELIVERED, 2, sink='a"\n\\b')
    metrics.set(numbers.REVISION, 7, log="spool")
    metrics.observe(numbers.BATCH_SECONDS, 0.003)
    metrics.observe(numbers.BATCH_SECONDS, 70)
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}
    assert [(sample.labels, sample.value) for sample in families["spikebridge_delivered"].samples] == [({"sink": 'a"\n\\b'}, 5.0)]
    assert [sample.value for sample in families["spikebridge_revision"].samples] == [7.0]
    samples = families["spikebridge_batch_seconds"].samples
    buckets = {sample.labels["le"]: sample.value for sample in samples if sample.name.endswith("_bucket")}
    assert (buckets["0.0025"], buckets["0.005"], buckets["60.0"], buckets["+Inf"]) == (0, 1, 1, 2)
    assert [sample.value for sample in samples if not sample.name.endswith("_bucket")] == [2.0, 70.003]


def test_labels_are_those_that_were_declared() -> None:
    """A typo in our code fails at once."""
    with pytest.raises(TypeError, match="has the labels"):
        Metrics().inc(numbers.DELIVERED, snik="a")


def test_labels_that_others_choose_can_not_fill_the_memory() -> None:
    """Beyond a thousand series what is new is counted as `other`."""
    metrics = Metrics()
    for number in range(SERIES_PER_METRIC + 50):
        metrics.inc(numbers.REFUSED, reason=str(number))
    assert metrics.value(numbers.REFUSED, reason="other") == 50
    assert metrics.value(numbers.REFUSED, reason="3") == 1


def test_numbers_looked_up_late_are_looked_up_for_each_rendering() -> None:
    """Gauges such as ages are true when they are read."""
    metrics = Metrics()
    ages = iter([1, 2])
    metrics.before_render(lambda: metrics.set(numbers.SINK_OLDEST, next(ages), sink="a"))
    metrics.render()
    assert 'spikebridge_sink_oldest_seconds{sink="a"} 2.0' in metrics.render().decode()


def test_threads_count_together() -> None:
    """Nothing counted is lost between threads."""
    metrics = Metrics()

    def count() -> None:
        for _ in range(2_000):
            metrics.inc(numbers.ALERTS, severity="High")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.value(numbers.ALERTS, severity="High") == 8_000
