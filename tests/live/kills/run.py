"""One trial from its start to its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.live.kills.trial import Plan, Trial
from tests.live.kills.troubles import Troubles
from tests.live.search_places import install_templates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.live.kills.verdict import Verdict
    from tests.live.servers.elasticsearch import Elasticsearch
    from tests.live.servers.kafka import Cluster

__all__ = ["Plan", "run"]


def run(plan: Plan, directory: Path, kafka: Cluster, elastic: Elasticsearch, say: Callable[[str], None]) -> Verdict:
    """Carry out a plan, and judge."""
    install_templates(elastic)
    with Trial(plan, directory, kafka, elastic, say) as trial:
        trouble = Troubles(trial)
        trouble.run()
        trial.tell(
            f"{trouble.kills} kills, {trouble.freezes} stops, {trouble.brokers} brokers, {trial.sender.sent:,} records sent"
        )
        found = trial.finish()
        found.note("instances", "ended by themselves", trial.ended)
        return found
