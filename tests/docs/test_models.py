"""The example of a model runs as it stands, and what it makes is one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge import cli

if TYPE_CHECKING:
    import pytest

PAGE = (Path(__file__).parents[2] / "connector/manual/models.md").read_text(encoding="utf-8")


def test_the_example_makes_a_model_that_can_be_signed_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs in the service, two of its five weights are left, and its self-test passes."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.partition("## Making one")[2], re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trusted").mkdir()
    exec(code, {})  # noqa: S102 - our own manual

    assert cli.main(["model", "keygen", "trusted/release"]) == 0
    assert cli.main(["model", "sign", "pump.spike", "--key", "trusted/release.key"]) == 0
    assert cli.main(["model", "verify", "pump.spike", "--keys", "trusted"]) == 0
    assert cli.main(["model", "inspect", "pump.spike"]) == 0
    told = capsys.readouterr().out
    assert "runs in the service" in told
    assert re.search(r"out +5 +1 +excitatory, 4 bits +40%", told), told
