"""Credentials that are wrong, have expired or change while the service runs: it says where and what to do, waits, and loses nothing."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion
from tests.live.running import Site, once_each
from tests.live.servers.kafka import unsigned_token
from tests.live.servers.tls import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.servers.kafka import Cluster

SHORT_S = 120
"""How long a token is good: time for every stage to log in with it, also for one that waits half a minute before it tries again."""

STAGES = ("spikes", "incidents", "deliver:lines")


def as_alice(cluster: Cluster, **changes: Any) -> dict[str, Any]:
    """Return what the log's settings need on the port that asks for a password."""
    sasl = {"mechanism": "SCRAM-SHA-512", "user": "alice", "password": cluster.passwords["alice"]}
    return {"servers": cluster.bootstrap("SASL_PLAINTEXT").split(","), "sasl": {**sasl, **changes}}


def by_tls(cluster: Cluster, listener: str, **tls: str) -> dict[str, Any]:
    """Return what the log's settings need on a port with TLS."""
    found: dict[str, Any] = {"servers": cluster.bootstrap(listener).split(","), "tls": tls}
    if listener == "SASL_SSL":
        found["sasl"] = as_alice(cluster)["sasl"]
    return found


def test_starts_that_the_brokers_refuse_wait_and_say_what_for(site: Site, tmp_path: Path) -> None:
    """The process lives, /readyz and a metric name the stages that wait; the log says which server, what it found, what to do."""
    cluster = site.cluster
    refused = [
        (as_alice(cluster, password="wrong"), "(the name or the secret is wrong|it refuses alice)"),  # noqa: S106
        ({"sasl": as_alice(cluster)["sasl"]}, "it doesn't take SCRAM-SHA-512 on this port"),
        (by_tls(cluster, "SASL_SSL", ca=str(Authority(tmp_path / "stranger").ca)), "TLS: .*certificate verify failed"),
        (by_tls(cluster, "SSL", ca=str(cluster.tls.ca)), "TLS: .*certificate"),
    ]
    devices = site.send()
    instances = [(site.instance(log).launch(), f"kafka 127\\.0\\.0\\.1:\\d+: .*{expected}") for log, expected in refused]
    for instance, located in instances:
        instance.await_said(located + ".*; waiting for it")
        for stage in STAGES:
            instance.await_metric(0, "stage_up", stage=stage)
            assert re.search(f"(?m)^{stage}: {located}", instance.troubles())
        instance.stop()
        assert instance.said("stopped: every stage has committed")
        # A server's own words about a password may be lost, so there are two texts for it, each said by who waits.
        assert len(set(instance.said(located))) <= 2 * (1 + len(STAGES))
    good = site.instance(as_alice(cluster)).start()
    good.await_received(devices)
    assert good.received() == once_each(devices)
    for stage in STAGES:
        good.await_metric(1, "stage_up", stage=stage)


def test_a_password_that_is_changed_while_the_service_runs_is_said_and_waited_for(site: Site) -> None:
    """Connections that are open live on; the next login is refused, and that is told until the password is right again."""
    cluster = site.cluster
    instance = site.instance(as_alice(cluster)).start()
    before = site.send()
    instance.await_received(before)
    set_password(cluster, "another-password")
    try:
        cluster.brokers[0].kill()
        cluster.start()
        told = instance.await_said(r"spikes: .*(the name or the secret is wrong|it refuses alice)")
        assert re.search(r"kafka 127\.0\.0\.1:\d+: ", told)
        assert cluster.passwords["alice"] not in instance.server.log.read_text()
        instance.await_metric(0, "stage_up", stage="spikes")
        waiting = site.send()
        renewed = site.instance(as_alice(cluster, password="another-password")).start()  # noqa: S106
        renewed.await_received(waiting)
        renewed.stop()
    finally:
        set_password(cluster, cluster.passwords["alice"])
    later = site.send()
    instance.await_received(later)
    instance.await_metric(1, "stage_up", stage="spikes")
    assert instance.server.running
    assert site.alerted() == once_each(before | waiting | later)


@pytest.mark.timeout(900)
def test_a_token_that_has_expired_is_said_and_the_next_one_is_taken_from_its_file(site: Site, tmp_path: Path) -> None:
    """At the start and while the service runs: it waits, and goes on by itself once whoever renews the token has written the file."""
    cluster, file = site.cluster, tmp_path / "token"
    file.write_text(unsigned_token("alice", valid_s=-60))
    sasl = {"mechanism": "OAUTHBEARER", "token_file": str(file)}
    instance = site.instance({"servers": cluster.bootstrap("SASL_PLAINTEXT").split(","), "sasl": sasl}).launch()
    devices = site.send()
    located = r"kafka 127\.0\.0\.1:\d+: .*(the name or the secret is wrong|it refuses (us|our token))"
    instance.await_said(located + ".*; waiting for it")
    instance.await_metric(0, "stage_up", stage="spikes")
    assert re.search(f"(?m)^spikes: {located}", instance.troubles())
    expires, token = time.monotonic() + SHORT_S, unsigned_token("alice", valid_s=SHORT_S)
    file.write_text(token)
    instance.await_received(devices)
    begun = instance.lines()
    cluster.brokers[0].kill()
    time.sleep(max(0, expires - time.monotonic()))
    cluster.start()
    instance.await_said(f"spikes: .*{located}", begun)
    assert token not in instance.server.log.read_text()
    instance.await_metric(0, "stage_up", stage="spikes")
    devices |= site.send()
    file.write_text(unsigned_token("alice"))
    instance.await_received(devices)
    received = instance.received()
    received.pop("Log_Gap", 0)  # nothing was appended while the token ran out
    assert received == once_each(devices)
    for stage in STAGES:
        instance.await_metric(1, "stage_up", stage=stage)


def test_a_certificate_of_ours_that_has_expired_is_said_and_waited_for(site: Site, tmp_path: Path) -> None:
    """The brokers ask for one: it names the server, the file and since when, waits without ending, and takes the next one from that file."""
    cluster, ours = site.cluster, tmp_path / "ours.crt"
    ours.write_bytes(cluster.tls.expired().read_bytes())
    tls = by_tls(cluster, "SSL", ca=str(cluster.tls.ca), certificate=str(ours), key=str(cluster.tls.client_key))
    instance = site.instance(tls).launch()
    devices = site.send()
    located = (
        rf"kafka 127\.0\.0\.1:\d+: .*TLS: .*certificate.*; tls\.certificate {re.escape(str(ours))} was good until .*: renew it"
    )
    instance.await_said(located + ".*; waiting for it")
    for stage in STAGES:
        instance.await_metric(0, "stage_up", stage=stage)
        assert re.search(f"(?m)^{stage}: {located}", instance.troubles())
    assert len(set(instance.said(located))) == 1 + len(STAGES)
    ours.write_bytes(cluster.tls.client_cert.read_bytes())
    instance.await_received(devices)
    assert instance.received() == once_each(devices)
    for stage in STAGES:
        instance.await_metric(1, "stage_up", stage=stage)


def set_password(cluster: Cluster, password: str) -> None:
    """Give alice another password, as an administrator would."""
    change = UserScramCredentialUpsertion("alice", ScramMechanism.SCRAM_SHA_512, password.encode())
    with cluster.admin() as admin:
        assert admin.alter_user_scram_credentials([change]) == {"alice": None}
