"""
Every command that the README shows is run, in order, in one directory, as a reader would.

A command is a line that begins with `$ ` in a block marked `console`. It exits 0 unless its comment says `# exits 1`.
What doesn't end by itself (`demo`, `run`, both without `--once`) is stopped after a moment as with Ctrl-C, and must then exit 0.
For `make` the target must exist: running it here would run this test.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]
MOMENT_S = 3.0

_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)
_ENDLESS = re.compile(r"^spikebridge (demo|run)\b(?!.*--once)")


def commands(page: str) -> list[str]:
    """Return the commands of a page in reading order."""
    return [command for block in _CONSOLE.findall(page) for command in _COMMAND.findall(block)]


def run(command: str, folder: Path) -> int:
    """Run one line in a shell in which `spikebridge` is on PATH; return its exit code."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120"}
    env.pop("HYPOTHESIS_PROFILE", None)
    line = f"exec {command}" if _ENDLESS.match(command) else command
    with subprocess.Popen(
        ["/bin/bash", "-o", "pipefail", "-c", line], cwd=folder, env=env, stdin=subprocess.DEVNULL, start_new_session=True
    ) as process:
        if _ENDLESS.match(command):
            time.sleep(MOMENT_S)
            process.send_signal(signal.SIGINT)
        return process.wait(120)


def test_every_command_of_the_readme_does_what_it_says(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """None fails, or fails as the page says; none leaves a traceback."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shown = commands((ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown

    for command in shown:
        if command.startswith("make"):
            assert set(re.findall(r"^make ([a-z-]+)", command)) <= targets, command
            continue
        expected = re.search(r"# exits (\d+)", command)
        code = run(command, tmp_path)
        said = capfd.readouterr()
        assert code == int(expected[1] if expected else 0), f"{command}\n{said.out}\n{said.err}"
        assert "Traceback" not in said.err, f"{command}\n{said.err}"


def test_commands_are_found_with_their_continuations() -> None:
    """Output between commands is left alone, and a line that goes on belongs to its command."""
    page = "text\n```console\n$ make run\n12 alerts\n$ one \\\n    two\n```\n```yaml\n$ no\n```\n"

    assert commands(page) == ["make run", "one \\\n    two"]
