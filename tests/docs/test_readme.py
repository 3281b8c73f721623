"""
Every command that the README shows is run, in order, in one directory, as a reader would.

A command is a line that begins with `$ ` in a block marked `console`. It exits 0 unless its comment says `# exits 1`.
For `make` the target must exist: running it here would run this test.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]

_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)


def commands(page: str) -> list[str]:
    """Return the commands of a page in reading order."""
    return [command for block in _CONSOLE.findall(page) for command in _COMMAND.findall(block)]


def run(command: str, folder: Path) -> int:
    """Run one line in a shell in which `spikebridge` is on PATH; return its exit code."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120"}
    env.pop("HYPOTHESIS_PROFILE", None)
    shell = ["/bin/bash", "-o", "pipefail", "-c", command]
    return subprocess.run(shell, check=False, cwd=folder, env=env, stdin=subprocess.DEVNULL, timeout=120).returncode


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


def test_the_sensor_engineer_gets_alerts_of_what_sensing_tells(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The mapping that `init` writes knows nothing of it; the page says what brings those that ship into force."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    sensing = page.index("spikebridge sense --pcap")
    said = page[sensing : page.index("spikebridge send found.spk")]
    (line,) = re.findall(r"^sed -i '.*' spikebridge\.yaml", said, re.MULTILINE)
    assert run("spikebridge init", tmp_path) == 0
    assert run("spikebridge check", tmp_path) == 0
    assert "timing-burst" not in capfd.readouterr().out
    assert run(line, tmp_path) == 0
    assert run("spikebridge check", tmp_path) == 0
    assert "timing-burst" in capfd.readouterr().out


def test_a_dry_run_is_told_every_secret_that_it_needs() -> None:
    """The configuration is read whole, so one that isn't set ends each of them."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    sinks = page[page.index("\nsinks:") : page.index("--dry-run")]
    (told,) = re.findall(r"\((.*) must be set for both", page)

    assert re.findall(r"`(\w+)`", told) == re.findall(r"\$\{env:(\w+)\}", sinks)


def test_a_stricter_rule_is_published_and_its_alerts_replay(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What the analyst's and the responder's sections print is what their commands print, in the SOC engineer's directory."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    begin, end = page.index("## The SOC engineer"), page.index("## What it promises")
    for command in commands(page[begin:end]):
        run(command, tmp_path)
    said = capfd.readouterr().out

    for shown in ("0 alerts in both, 0 gained, 1 lost", "revision 2 published: 3 rules, 1 incident rule, 2 devices"):
        assert f"\n{shown}\n" in page
        assert f"\n{shown}\n" in said
    assert re.search(r"^same: alert \S+ from 1 record, revision 1$", said, re.MULTILINE)
