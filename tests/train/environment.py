"""
The environment of torch for these tests: made once in `~/.cache/spikebridge/train`, from pinned wheels, anew when the pins change.

Where it can't be made the tests fail: what they hold has no other proof.
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from tests.train import stand_ins

from spikebridge_detectors.train.gradients.environment import ENVIRONMENT

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
PIP = ["-I", "-m", "pip", "--disable-pip-version-check", "-q", "--retries", "10", "install", "--no-deps", "--require-hashes"]
STAMP = ".spikebridge-tests"


def ready() -> Path:
    """Return the environment's Python, one process making it at a time; one that the operator made is taken as it is."""
    home = Path.home() / ENVIRONMENT
    home.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    with (home.parent / "train.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = home / STAMP
        if not home.exists() or (stamp.exists() and stamp.read_text(encoding="utf-8") != digest):
            _make(home)
            stamp.write_text(digest, encoding="utf-8")
        _done([str(home / "bin/python"), "-I", "-c", "import torch, snntorch, norse, nirtorch"], 120)
    return home / "bin/python"


def _make(home: Path) -> None:
    """Make it from nothing; a half-made one is never left."""
    shutil.rmtree(home, ignore_errors=True)
    try:
        _done([sys.executable, "-I", "-m", "venv", str(home)], 120)
        _done([str(home / "bin/python"), *PIP, "-r", str(REQUIREMENTS)], 900)
        if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
            stand_ins.made(next(home.glob("lib/python3.*/site-packages")))
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise


def _done(command: list[str], limit_s: float) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=limit_s)
    if done.returncode:
        raise RuntimeError(f"no environment for torch: {' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
