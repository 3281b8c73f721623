"""The command line's promises that belong to no command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spikebridge import cli

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = [*cli.COMMANDS, *cli.UNLISTED]


def spikebridge(arguments: Sequence[str], stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell would."""
    command = [sys.executable, "-m", "spikebridge", *arguments]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` exits 0, says what the command does and shows an example that begins with the command."""
    assert cli.main([name, "--help"]) == 0

    text = capsys.readouterr().out
    assert "example:\n  spikebridge " in text
    assert f"spikebridge {name}" in text.partition("example:")[2]


def test_a_command_of_a_command_shows_the_examples_that_are_its(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of its neighbours are left to them."""
    assert cli.main(["setup", "kafka", "--help"]) == 0

    examples = capsys.readouterr().out.partition("example:\n")[2].splitlines()
    assert examples
    assert all(line.startswith("  spikebridge setup kafka ") for line in examples)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_the_table_say_the_same(name: str) -> None:
    """The table of commands is written by hand so that it needs no import; it can't drift from the modules."""
    module = cli.load(name)

    assert (name, {**cli.COMMANDS, **cli.UNLISTED}[name]) == (module.NAME, module.HELP)


def test_every_command_module_is_in_the_table() -> None:
    """A module with a `configure` is a command, and no command is forgotten."""
    modules = {path.stem for path in Path(cli.__file__).parent.glob("*.py") if "\ndef configure(" in path.read_text("utf-8")}

    assert modules - {"__init__"} == set(COMMANDS)


def test_wrong_usage_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown command, an unknown option and no command at all are wrong usage."""
    codes = [cli.main(arguments) for arguments in ([], ["lst"], ["list", "--nope"], ["list", "sausages"])]

    assert codes == [2, 2, 2, 2]
    assert "Traceback" not in capsys.readouterr().err


def test_what_an_argument_holds_never_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """An escape sequence in an argument comes back written out."""
    cli.main(["list", "sinks", "--\x1b[2J"])

    assert "--\\x1b[2J" in capsys.readouterr().err


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` names program and version."""
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("spikebridge 0.")


def test_a_reader_that_leaves_is_no_error() -> None:
    """When whoever reads our output closes it, the command ends without a word."""
    shell = f"{sys.executable} -m spikebridge schema mapping | true"
    done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=False, timeout=60)

    assert done.stderr == ""


def test_a_full_disk_is_told_in_one_line() -> None:
    """What the system says, after the program's name; no traceback."""
    with Path("/dev/full").open("w") as full:
        done = spikebridge(["schema", "mapping"], stdout=full.fileno())

    assert (done.returncode, done.stderr) == (2, "spikebridge: No space left on device\n")
