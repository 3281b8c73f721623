"""What is done to the service in a trial: deaths at named points and at any time, frozen instances, dead brokers, members that come and go."""

from __future__ import annotations

import time
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING

from tests.live.kills.points import MARKER, RUNNING_POINTS, STARTING_POINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.live.kills.instances import Instance
    from tests.live.kills.trial import Trial
    from tests.live.servers.kafka import Broker

FUSE_S = 15.0
"""A point that isn't passed within so long is given up, and the kill comes from outside."""

FROZEN_S = 12.0
BROKER_AWAY_S = 5.0
JOINING_S = 1.5
CHURN_S = 5.0


class Troubles:
    """Carries out the plan of a trial; `kills` counts the deaths of instances so far."""

    def __init__(self, trial: Trial) -> None:
        """Do nothing yet."""
        self.kills = self.brokers = self.freezes = 0
        self._trial = trial
        self._turn = cycle(trial.instances[:2])
        self._points = cycle([*RUNNING_POINTS[:4], "", *STARTING_POINTS, *RUNNING_POINTS[4:], ""])

    def run(self) -> None:
        """Spread everything else evenly over the kills; sentinels fall silent, and come back."""
        trial, plan = self._trial, self._trial.plan
        others = [self._reload(number + 1) for number in range(plan.reloads)]
        others += [self._break_broker for _ in range(plan.brokers)]
        others += [partial(self._freeze, joining=number % 2 == 1) for number in range(plan.freezes)]
        others = [*_shuffled(others)]
        done = 0
        trial.steady()
        while self.kills < plan.kills:
            share = self.kills / plan.kills
            trial.sender.silent = {"sentinel-0", "sentinel-1"} if 0.2 < share < 0.6 else set()
            self._kill(next(self._points))
            while done < len(others) and done < self.kills / plan.kills * len(others):
                others[done]()
                done += 1
        if plan.churn_s:
            self._churn(plan.churn_s)
        self._await_silence()

    def _kill(self, point: str) -> None:
        instance = next(self._turn)
        if point in STARTING_POINTS:
            self._trial.trouble(partial(self._die_again, instance, point))
        else:
            self._trial.trouble(partial(self._die, instance, point))

    def _die(self, instance: Instance, point: str) -> str:
        """Kill at a point, or at once."""
        if point:
            instance.arm(f"{point} {1 + self.kills % 3}")
        fired = instance.await_end(FUSE_S) if point else ""
        instance.kill()
        self.kills += 1
        instance.start()
        return f"kill {self.kills}: {instance.name} at {fired or 'any time'}"

    def _die_again(self, instance: Instance, point: str) -> str:
        """Kill, and have it die once more while it comes back."""
        first = self._die(instance, "")
        instance.kill()
        instance.start(f"{point} {3 if point == 'join' else 1}")
        fired = instance.await_end(FUSE_S)
        instance.kill()
        self.kills += 1
        instance.start()
        return f"{first}, kill {self.kills}: again at {fired or 'any time'}"

    def _reload(self, revision: int) -> Callable[[], None]:
        def published() -> str:
            instance = next(self._turn)
            instance.arm(f"{MARKER} 1")
            number = self._trial.reload(revision)
            fired = instance.await_end(FUSE_S)
            instance.kill()
            self.kills += 1
            instance.start()
            return f"revision {number} published, kill {self.kills}: {instance.name} at {fired or 'any time'}"

        return lambda: self._trial.trouble(published)

    def _break_broker(self) -> None:
        self._trial.trouble(self._broker_away)

    def _broker_away(self) -> str:
        trial = self._trial
        group = trial.names.group
        choices: list[tuple[str, Callable[[], Broker]]] = [
            ("coordinator of the spikes stage", lambda: trial.kafka.coordinator(group)),
            ("leader of alerts", lambda: trial.kafka.leader(trial.names.alerts)),
            ("coordinator of a sink", lambda: trial.kafka.coordinator(f"{group}.deliver.elastic")),
            ("leader of spikes", lambda: trial.kafka.leader(trial.topic)),
        ]
        what, find = choices[self.brokers % len(choices)]
        broker = find()
        broker.kill()
        time.sleep(BROKER_AWAY_S)
        broker.start()
        trial.kafka.await_in_sync()
        self.brokers += 1
        return f"broker {broker.number} ({what}) killed and back"

    def _freeze(self, *, joining: bool) -> None:
        self._trial.trouble(partial(self._frozen, joining=joining))

    def _frozen(self, *, joining: bool) -> str:
        instance, other = next(self._turn), next(self._turn)
        next(self._turn)
        what = ""
        if joining:
            other.kill()
            self.kills += 1
            other.start()
            time.sleep(JOINING_S)
            what = f", while {other.name} joined after kill {self.kills}"
        instance.server.freeze()
        time.sleep(FROZEN_S)
        instance.server.thaw()
        self.freezes += 1
        return f"{instance.name} stopped for {FROZEN_S:g} s{what}"

    def _churn(self, seconds: int) -> None:
        """Have a third instance join and leave, a rebalance every few seconds."""

        def moved() -> str:
            third = self._trial.instances[2]
            end = time.monotonic() + seconds
            times = 0
            while time.monotonic() < end:
                third.start()
                time.sleep(CHURN_S)
                third.stop()
                times += 1
                time.sleep(max(0.0, CHURN_S - 1))
            return f"a third instance joined and left {times} times in {seconds} s"

        self._trial.trouble(moved)

    def _await_silence(self) -> None:
        """Let the sentinels come back, and their records be seen."""
        self._trial.sender.silent = set()
        time.sleep(1)


def _shuffled(others: list[Callable[[], None]]) -> Iterator[Callable[[], None]]:
    """Take from both ends and the middle, so that equal ones don't follow each other."""
    step = next(step for step in (7, 5, 3, 2, 1) if len(others) % step or step == 1)
    for number in range(len(others)):
        yield others[number * step % len(others)]
