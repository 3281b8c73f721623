"""Whatever a collector does, in whatever order: nothing is lost, and what is there twice was announced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.contract.sink_contract import an_entry
from tests.fuzzing import fuzz

from spikebridge import metrics as numbers
from spikebridge.delivery import Delivery, Surroundings
from spikebridge.logs import Commit
from spikebridge.metrics import Metrics
from spikebridge.sinks.splunk import Settings, SplunkSink
from spikebridge.testing import FakeClock, MemoryLetters, MemoryLog
from spikebridge.testing.hec import Fault, HecServer, Token

NAME = "a-token"
ENTRIES = [an_entry(number) for number in range(40)]

refusals = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 18, 23, 26, 27, 28])
faults = st.one_of(
    st.builds(Fault),
    st.builds(Fault, code=refusals, headers=st.sampled_from([{}, {"Retry-After": "2"}])),
    st.builds(Fault, code=st.sampled_from([6, 12, 13, 15]), invalid=st.integers(0, 12)),
    st.builds(
        Fault, status=st.sampled_from([302, 400, 401, 413, 429, 500, 502]), body=st.sampled_from([b"", b"<html>", b'"no"'])
    ),
    st.builds(Fault, hang_up=st.just(True), taken=st.booleans()),
    st.builds(Fault, loses=st.sampled_from(["acknowledgement", "events"])),
    st.builds(Fault, path=st.just("ack"), code=st.sampled_from([4, 8, 9, 10, 14, 27])),
    st.builds(Fault, path=st.just("ack"), status=st.sampled_from([200, 404, 500]), times=st.integers(1, 20)),
    st.builds(Fault, path=st.just("ack"), hang_up=st.just(True)),
)
settings_given = st.fixed_dictionaries(
    {
        "acknowledge": st.sampled_from(["auto", "on", "off"]),
        "batch_events": st.integers(1, 25),
        "batch_size": st.sampled_from(["1B", "3KB", "900KB"]),
        "in_flight": st.integers(1, 5),
    }
)


@fuzz(few=30, many=2_000)
@given(
    st.lists(st.lists(faults, max_size=8), min_size=1, max_size=2),
    settings_given,
    st.booleans(),
    st.integers(1, 3),
    st.integers(0, 1),
)
def test_every_alert_arrives_or_is_a_dead_letter(
    each: list[list[Fault]], given_settings: dict[str, Any], acknowledges: bool, polls: int, first_ack: int
) -> None:
    """Over one endpoint or two; repeats are at most what the metric counted, dead letters what a refusal explains."""
    acknowledges = (acknowledges or given_settings["acknowledge"] == "on") and given_settings["acknowledge"] != "off"
    tokens = {NAME: Token(acknowledges=acknowledges)}
    servers = [HecServer(tokens, polls=polls, first_ack=first_ack) for _ in each]
    clock, metrics, letters = FakeClock(), Metrics(), MemoryLetters()
    log = MemoryLog(clock)
    log.commit(ENTRIES, Commit(len(ENTRIES), 0, ((0, 1),)))

    def wait(seconds: float) -> bool:
        clock.advance(int(seconds * 1e9))
        return False

    around = Surroundings(dead_letters=letters, metrics=metrics, clock=clock, wait=wait, random=lambda: 0.5)
    for server, its_faults in zip(servers, each, strict=True):
        # what is lost after it was accepted is lost, where nobody acknowledges: the promise says so
        server.faults += [fault for fault in its_faults if acknowledges or fault.loses != "events"]
        server.start()
    settings = {"endpoints": [server.url for server in servers], "token": SecretStr(NAME), **given_settings}
    sink = SplunkSink(Settings.model_validate(settings), Path(), clock=lambda: clock.monotonic() / 1e9)
    try:
        delivery = Delivery("siem", sink, log, around)
        assert delivery.open()
        assert delivery.drain()
    finally:
        sink.close()
        for server in servers:
            server.stop()

    found = sum((server.counts() for server in servers), start=servers[0].counts() - servers[0].counts())
    dead = {entry_id for _, entry_id in letters.kept}
    assert set(found) | dead == {entry.id for entry in ENTRIES}
    assert sum(found.values()) - len(found) <= metrics.value(numbers.DOUBTFUL, sink="siem")
    assert len(dead) <= sum(fault.code in {6, 12, 13, 15} or fault.status == 413 for one in each for fault in one)
