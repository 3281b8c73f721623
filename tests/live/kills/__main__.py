"""`python -m tests.live.kills --client kafka-python --kills 20 --brokers 5`: the crash runs by hand, with servers of their own."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.live.kills.run import run
from tests.live.kills.sabotage import SABOTAGES
from tests.live.kills.trial import Plan
from tests.live.servers import elasticsearch
from tests.live.servers.elasticsearch import Elasticsearch
from tests.live.servers.kafka import Cluster


def main() -> int:
    """Run one trial; 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.kills")
    parser.add_argument("--client", choices=["kafka-python", "confluent"], default="kafka-python")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--brokers", type=int, default=0)
    parser.add_argument("--freezes", type=int, default=0)
    parser.add_argument("--reloads", type=int, choices=range(3), default=2)
    parser.add_argument("--churn", type=int, default=0, metavar="SECONDS", help="a third instance joins and leaves for so long")
    parser.add_argument("--per-second", type=int, default=300, help="records")
    parser.add_argument("--static", action="store_true", help="instances have names in their groups")
    parser.add_argument("--sabotage", choices=SABOTAGES, default="")
    asked = parser.parse_args()
    plan = Plan(
        client=asked.client,
        kills=asked.kills,
        brokers=asked.brokers,
        freezes=asked.freezes,
        reloads=asked.reloads,
        churn_s=asked.churn,
        per_second=asked.per_second,
        static=asked.static,
        sabotage=asked.sabotage,
    )
    directory = Path(tempfile.mkdtemp(prefix="kills-"))
    (directory / "kafka").mkdir()
    (directory / "site").mkdir()
    with Cluster(directory / "kafka", nodes=3) as kafka, Elasticsearch(elasticsearch.NEWEST) as elastic:
        found = run(plan, directory / "site", kafka, elastic, say)
    say(f"logs of the instances: {directory}/site")
    return int(bool(found.problems))


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
