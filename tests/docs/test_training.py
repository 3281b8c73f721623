"""The example on training with series runs as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge import cli

if TYPE_CHECKING:
    import pytest

PAGE = (Path(__file__).parents[2] / "connector/manual/training.md").read_text(encoding="utf-8")


def test_the_example_makes_series_of_which_the_wrong_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands behind it learn the radio, and tell more of the jammed one than of the one that was learned."""
    code, said = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL)[0]
    train, sense = (
        shlex.split(line)[1:] for line in said.splitlines() if line.startswith(("spikebridge train", "spikebridge sense"))
    )
    monkeypatch.chdir(tmp_path)
    exec(code, {})  # noqa: S102 - our own manual
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == [
        "charger-mining.csv",
        "charger.csv",
        "pump-loose.csv",
        "pump.csv",
        "radio-jammed.csv",
        "radio.csv",
    ]
    cli.main(["model", "keygen", "release"])
    (tmp_path / "trusted").mkdir()
    (tmp_path / "release.pub").rename(tmp_path / "trusted" / "release.pub")
    assert cli.main(train) == 0
    assert "rf of radio learned from 1 recording" in capsys.readouterr().out
    for name, spikes in (("radio-jammed.csv", True), ("radio.csv", False)):
        changed = [name if one == "radio-jammed.csv" else one for one in sense]
        assert cli.main([*changed, "--state", name.removesuffix(".csv"), "--dry-run"]) == 0
        assert (" 0 spikes" not in capsys.readouterr().err) is spikes
