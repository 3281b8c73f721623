"""Where a Python with torch and snnTorch is: each candidate is asked, since a directory proves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge_detectors.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLE = "SPIKEBRIDGE_TORCH_PYTHON"
ENVIRONMENT = ".cache/spikebridge/train"
"""Where an environment for torch is looked for, in the home directory."""

_PROGRAM = """
from importlib.metadata import version
print(version("snntorch"), version("torch"), version("numpy"))
"""
_SECONDS = 20


def with_snntorch(environ: Mapping[str, str] = os.environ) -> Path:
    """Return a Python in which snnTorch and torch are installed; without one, the error says how to get it."""
    for candidate in _candidates(environ):
        if _installed(candidate):
            return candidate
    places = f"{VARIABLE}={environ[VARIABLE]}" if VARIABLE in environ else f"this one and ~/{ENVIRONMENT}"
    raise BackendError(
        f"expected a Python with torch and snntorch, found none ({places}); make an environment with "
        f"`python3 -m venv ~/{ENVIRONMENT} && ~/{ENVIRONMENT}/bin/pip install 'snntorch>=1,<2' torch numpy`"
    )


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield what may be one; what the variable names is the only one."""
    if VARIABLE in environ:
        yield Path(environ[VARIABLE])
        return
    yield Path(sys.executable)
    yield Path(environ.get("HOME", "/"), ENVIRONMENT, "bin/python")


def _installed(python: Path) -> bool:
    try:
        subprocess.run(  # noqa: S603 -- ourselves, our environment's, or named by whoever runs us
            [str(python), "-I", "-c", _PROGRAM], stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=True
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    return True
