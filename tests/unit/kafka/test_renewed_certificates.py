"""Certificates of ours that are read anew while connections begin, in other threads."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.live.servers.missing import needed
from tests.live.servers.tls import Authority

if TYPE_CHECKING:
    from pathlib import Path

BUSY = """
import socket, ssl, sys
from threading import Thread
from spikebridge.kafka.connection import Connection
from spikebridge.kafka.kafka_python.reach import Reach

ca, certificate, key, server_certificate, server_key = sys.argv[1:]
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(server_certificate, server_key)
server.load_verify_locations(ca)
server.verify_mode = ssl.CERT_REQUIRED
tls = {"ca": ca, "certificate": certificate, "key": key}
reach = Reach(Connection.model_validate({"servers": ["localhost:1"], "tls": tls}))
certificates = reach.settings["ssl_context"]
going = True

def renew():
    while going:
        reach._certificates.renew()

def answer(theirs):
    with server.wrap_socket(theirs, server_side=True) as wrapped:
        wrapped.sendall(str(wrapped.getpeercert()["subject"]).encode())

renewing = [Thread(target=renew) for _ in range(3)]
for thread in renewing:
    thread.start()
for _ in range(300):
    ours, theirs = socket.socketpair()
    answering = Thread(target=answer, args=(theirs,))
    answering.start()
    with certificates.wrap_socket(ours, server_hostname="localhost") as wrapped:
        assert b"commonName" in wrapped.recv(1_000)
    answering.join()
going = False
for thread in renewing:
    thread.join()
print("alive")
"""


def test_renewing_certificates_harms_no_connection_that_begins(tmp_path: Path) -> None:
    """All clients of a process share them: changed where they stood, they ended it with a segmentation fault."""
    with needed():
        authority = Authority(tmp_path / "ours")
    files = (authority.ca, authority.client_cert, authority.client_key, authority.server_cert, authority.server_key)
    done = subprocess.run(
        [sys.executable, "-c", BUSY, *map(str, files)], check=False, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr[-2_000:]
