"""`spikebridge bench` refuses what can't be measured before it measures anything."""

from __future__ import annotations

import pytest

from spikebridge.cli import main


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["spars"], "bench: expected one of sparse, dense"),
        (["live"], "bench: live: expected --kafka HOST:PORT, found none"),
        (["live", "sparse", "--kafka", "127.0.0.1:1"], "bench: expected one of frames, json"),
        (["live", "frames", "latency", "--kafka", "127.0.0.1:1"], "bench: latency: expected --elasticsearch URL, found none"),
    ],
)
def test_a_wrong_row_or_a_missing_server_is_told(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the words of the command line, and nothing on stdout."""
    assert main(["bench", *arguments]) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert not printed.out
