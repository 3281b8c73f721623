"""Where a Python 3.10 is, the only one that Lava runs on: each candidate is run, since a name on PATH proves nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge_detectors.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLE = "SPIKEBRIDGE_PYTHON310"
ENVIRONMENT = ".cache/spikebridge/lava"
"""Where an environment for Lava is looked for, in the home directory."""
LAVA = "0.10.0"

_PROGRAM = """
import sys
assert sys.version_info[:2] == (3, 10)
from importlib.metadata import PackageNotFoundError, version
try:
    print("lava-nc", version("lava-nc"))
except PackageNotFoundError:
    print("nothing")
"""
_SECONDS = 20


def plain(environ: Mapping[str, str] = os.environ) -> Path:
    """Return a Python 3.10, whatever is installed in it."""
    for candidate in _candidates(environ):
        if _installed(candidate) is not None:
            return candidate
    raise BackendError(
        f"expected a Python 3.10, found none ({_places(environ)}); install one, for instance with `uv python install 3.10`, "
        f"and name it in {VARIABLE}"
    )


def with_lava(environ: Mapping[str, str] = os.environ) -> Path:
    """Return a Python 3.10 in which Lava is installed."""
    for candidate in _candidates(environ):
        if _installed(candidate) == f"lava-nc {LAVA}":
            return candidate
    raise BackendError(
        f"expected a Python 3.10 with lava-nc {LAVA}, found none ({_places(environ)}); make an environment with "
        f"`python3.10 -m venv ~/{ENVIRONMENT} && ~/{ENVIRONMENT}/bin/pip install lava-nc=={LAVA}`"
    )


def _places(environ: Mapping[str, str]) -> str:
    return f"{VARIABLE}={environ[VARIABLE]}" if VARIABLE in environ else f"~/{ENVIRONMENT}, PATH, pyenv's versions and uv"


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield what may be one; what the variable names is the only one."""
    if VARIABLE in environ:
        yield Path(environ[VARIABLE])
        return
    home = environ.get("HOME", "/")
    yield Path(home, ENVIRONMENT, "bin/python")
    if found := shutil.which("python3.10", path=environ.get("PATH")):
        yield Path(found)
    pyenv = Path(environ.get("PYENV_ROOT") or Path(home, ".pyenv"))
    yield from sorted(pyenv.glob("versions/3.10.*/bin/python"), reverse=True)
    if uv := shutil.which("uv", path=environ.get("PATH")):
        told = _output([uv, "python", "find", "3.10"])
        if told:
            yield Path(told)


def _installed(python: Path) -> str | None:
    """Return what of Lava is installed there, or None if it isn't a Python 3.10."""
    return _output([str(python), "-I", "-c", _PROGRAM]) or None


def _output(command: list[str]) -> str:
    """Return what a program printed, or nothing if it failed."""
    try:
        done = subprocess.run(  # noqa: S603 -- found on PATH or named by whoever runs us
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
