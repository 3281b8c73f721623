"""What a start of the program costs, told by the modules it leaves alone: a clock would measure the machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW = [
    "elasticsearch",
    "kafka",
    "msgspec",
    "numba",
    "numpy",
    "pydantic",
    "prometheus_client",
    "rich",
    "sqlite3",
    "stix2",
    "watchfiles",
    "yaml",
]

PROGRAM = """
import sys
from spikebridge.cli import main
code = main(sys.argv[1:])
print(code, *sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["list", "--help"], ["schema", "--help"], ["--version"]], ids=" ".join)
def test_help_imports_nothing_slow(arguments: list[str]) -> None:
    """Help is there at once: none of the libraries that take 30 ms or more is imported for it."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    code, *modules = done.stderr.split()

    assert code == "0"
    assert not {name.partition(".")[0] for name in modules} & set(SLOW)


def test_the_package_itself_imports_nothing() -> None:
    """`import spikebridge` and `import spikebridge_detectors` need no other package, so no extra."""
    program = "import spikebridge, spikebridge_detectors, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert not {name.partition(".")[0] for name in done.stdout.split()} & set(SLOW)
