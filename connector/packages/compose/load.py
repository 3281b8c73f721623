# ruff: noqa: INP001  a script for a container, no module of ours
"""A load: JSON events of a few devices on standard output, with an attack now and then, until it is stopped; for `spikebridge send -`."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

DEVICES = ("camera-1", "camera-2", "thermostat-7", "thermostat-8")
QUIET = 7
ATTACKS = (40, 42, 43)
ATTACK_SPIKES = 40
TICK_S = 0.1


def main() -> None:
    """Write events in small steps, and touch a file at each, so that a health check sees that it lives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200, help="events a second (default: 200)")
    parser.add_argument("--attack-every", type=float, default=15, help="seconds from one attack to the next (default: 15)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long (default: never)")
    parser.add_argument("--alive", type=Path, help="the file to touch")
    args = parser.parse_args()
    begin = time.monotonic()
    written, attacks = 0, 0
    while (passed := time.monotonic() - begin) < args.seconds:
        for _ in range(int(args.rate * passed) - written):
            tell(random.choice(DEVICES), QUIET, 1)  # noqa: S311 -- a load, not a secret
            written += 1
        if passed >= (attacks + 1) * args.attack_every:
            tell(DEVICES[attacks % len(DEVICES)], ATTACKS[attacks % len(ATTACKS)], ATTACK_SPIKES)
            attacks += 1
        sys.stdout.flush()
        if args.alive:
            args.alive.touch()
        time.sleep(TICK_S)


def tell(device: str, neuron: int, spikes: int) -> None:
    """Write one event; without a time it takes that of its append."""
    sys.stdout.write(json.dumps({"device_id": device, "neuron_id": neuron, "spike_count": spikes}) + "\n")


if __name__ == "__main__":
    main()
