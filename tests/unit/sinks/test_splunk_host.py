"""The Splunk sink where it lives: in a configuration, and under a host that wants to stop."""

from __future__ import annotations

from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest
from tests.contract.sink_contract import an_entry

from spikebridge import registry
from spikebridge.config.load import load_config
from spikebridge.delivery import Delivery, Surroundings
from spikebridge.errors import ContentError
from spikebridge.logs import Commit
from spikebridge.metrics import Metrics
from spikebridge.sinks.splunk import sending
from spikebridge.testing import FakeClock, MemoryLetters, MemoryLog
from spikebridge.testing.hec import HecServer, Token

if TYPE_CHECKING:
    from pathlib import Path

    from spikebridge.config import Config

CONFIG = """\
sinks:
  soc:
    type: splunk
    endpoints: {endpoints}
    token: ${{env:SPLUNK_TOKEN}}
    acknowledge: on
    tls: {{ca: ca.pem}}
"""


def load(directory: Path, endpoints: str, token: str = "secret-token") -> Config:  # noqa: S107 -- nobody else's
    """Load a configuration with a Splunk sink."""
    (directory / "spikebridge.yaml").write_text(CONFIG.format(endpoints=endpoints))
    return load_config(directory / "spikebridge.yaml", {"SPLUNK_TOKEN": token})


def test_a_configuration_holds_the_token_and_never_shows_it(tmp_path: Path) -> None:
    """Paths begin at the file; `on` is a word, one endpoint a list."""
    config = load(tmp_path, "https://splunk:8088/")
    settings = config.sinks["soc"].settings.model_dump()

    assert settings["endpoints"] == ["https://splunk:8088"]
    assert settings["acknowledge"] == "on"
    assert settings["tls"]["ca"] == str(tmp_path / "ca.pem")
    assert settings["token"].get_secret_value() == "secret-token"
    assert "secret-token" not in repr(config)


@pytest.mark.parametrize(
    ("endpoints", "token", "problem"),
    [
        ("splunk:8088", "t", "expected https://HOST:PORT, for example https://splunk:8088"),
        ("https://splunk:8088/services/collector", "t", "without user, query and /services/collector"),
        ("https://splunk:8088", "not a token", "sinks.soc.token: this secret is not accepted"),
    ],
)
def test_a_wrong_one_is_told_with_its_place(tmp_path: Path, endpoints: str, token: str, problem: str) -> None:
    """File, line and column; a secret is not shown."""
    with pytest.raises(ContentError) as error:
        load(tmp_path, endpoints, token)

    assert f"{tmp_path / 'spikebridge.yaml'}:" in str(error.value)
    assert problem in str(error.value)
    assert "not a token" not in str(error.value)


def test_a_host_that_stops_does_not_wait_long_for_acknowledgements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may take minutes; what waits for one is delivered again after the next start."""
    monkeypatch.setattr(sending, "GRACE_S", 0.3)
    clock, stop = FakeClock(), Event()
    log = MemoryLog(clock)
    log.commit([an_entry(number) for number in range(5)], Commit(5, 0, ((0, 1),)))
    around = Surroundings(dead_letters=MemoryLetters(), metrics=Metrics(), clock=clock, wait=stop.wait, random=lambda: 0.0)
    with HecServer({"secret-token": Token(acknowledges=True)}, polls=1_000_000) as server:
        config = load(tmp_path, server.url)
        delivery = Delivery("soc", registry.load("sinks", "splunk")(config.sinks["soc"].settings, tmp_path), log, around)
        running = Thread(target=delivery.run, daemon=True)
        running.start()
        while sum("/ack?" in request.path for request in server.requests) < 3:
            assert running.is_alive()
            stop.wait(0.01)
        stop.set()
        running.join(10)

        assert not running.is_alive()
        assert len(server.counts()) == 5
    assert delivery.cursor.position == 0
