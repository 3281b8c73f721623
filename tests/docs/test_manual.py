"""The manual can't lie: what is generated is up to date and complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikebridge import cli
from spikebridge.cli import manual
from spikebridge.errors import SpikebridgeError

ROOT = Path(__file__).parents[2]


def test_generated_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """`make docs` would change nothing."""
    assert cli.main(["docs", "--check"]) == 0, capsys.readouterr().out


def test_every_block_stands_in_the_manual() -> None:
    """Commands, components, metrics and settings are each somewhere to be read."""
    pages = "".join((ROOT / name).read_text(encoding="utf-8") for name in manual.PAGES if (ROOT / name).exists())

    assert [name for name in manual.BLOCKS if f"<!-- generated: {name} -->" not in pages] == []


def test_a_block_is_written_anew_and_its_surroundings_stay() -> None:
    """Only what stands between the marks changes, and a second time changes nothing."""
    page = "before\n<!-- generated: formats -->\nstale\n<!-- /generated -->\nafter\n"

    filled = manual.fill(page)

    assert filled.startswith("before\n<!-- generated: formats -->\n\n### `cim`\n")
    assert filled.endswith("\n<!-- /generated -->\nafter\n")
    assert manual.fill(filled) == filled


def test_an_unknown_block_is_told() -> None:
    """A mark that names nothing is a mistake in the page."""
    with pytest.raises(SpikebridgeError, match=r'generated: expected one of .*, found "sausages"'):
        manual.fill("<!-- generated: sausages -->\n<!-- /generated -->")
