"""What `.ci/run` asks of make: that nothing is left out unsaid, and that each run is like the one before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TELL = "$(info step $(MAKECMDGOALS), CI=$(CI))\n"


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    """Return what make would do for each step, begun by whoever has no `CI`."""
    tell = tmp_path / "tell.mk"
    tell.write_text(TELL, encoding="utf-8")
    ours = {name: value for name, value in os.environ.items() if name not in ("CI", "SEED", "ARGS")}
    env = {**ours, "MAKEFLAGS": "n", "MAKEFILES": str(tell), "PYTHON": sys.executable}
    done = subprocess.run([ROOT / ".ci/run"], env=env, check=True, capture_output=True, text=True, timeout=120)
    return done.stdout.splitlines()


def test_every_step_knows_that_nobody_watches(asked: list[str]) -> None:
    """A server that can't run is a failure there and no skip: a green run has tried all of them."""
    steps = [line for line in asked if line.startswith("step ")]
    assert "step live, CI=1" in steps
    assert [step for step in steps if not step.endswith(", CI=1")] == []


def test_no_step_shuffles_its_tests_anew(asked: list[str]) -> None:
    """What turns red is the change: the seed is given, or nothing is shuffled. Where there are several processes, who is idle takes from another."""
    runs = [line for line in asked if " -m pytest " in line]
    assert len(runs) >= 5
    assert [line for line in runs if "--randomly-seed 1" not in line and "-p no:randomly" not in line] == []
