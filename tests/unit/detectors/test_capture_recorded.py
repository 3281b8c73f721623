"""Recorded captures give what tables of the same captures say; `SPIKEBRIDGE_DATA` names the folder that holds both."""

from __future__ import annotations

import csv
import gzip
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from spikebridge_detectors.capture import pcap
from spikebridge_detectors.capture.columns import Packets, Transport
from spikebridge_detectors.capture.devices import Devices
from spikebridge_detectors.capture.source import PcapSource

DATA = Path(os.environ.get("SPIKEBRIDGE_DATA", "data"))
QUOTING = 70
PAIRS = [
    ("ndpi_synscan", "attack_synscan", "172.16.0.8"),
    ("slips_malicious-ssh-bruteforce", "attack_ssh_bruteforce", "147.32.80.40"),
    ("slips_test-cc-capture-1", "attack_c2_beacon_2s", "147.32.80.37"),
    ("slips_test12-icmp-portscan", "attack_icmp_sweep", "192.168.1.109"),
    ("slips_test7-malicious", "host_slips_test7", "192.168.2.16"),
]


@pytest.mark.parametrize(("capture", "table", "device"), PAIRS)
def test_a_capture_gives_the_rows_of_its_table(capture: str, table: str, device: str) -> None:
    """Times, directions, peers, protocols, ports, lengths and flags; the tables leave out ARP and ICMP that quotes."""
    path = DATA / "pcap" / f"{capture}.pcap"
    if not path.exists():
        pytest.skip(f"{path} is not here: SPIKEBRIDGE_DATA names the folder with captures and their tables")
    with gzip.open(DATA / "net" / f"{table}.csv.gz", "rt", newline="") as file:
        wanted = [row for row in csv.DictReader(file) if row["proto"] != "icmp" or int(row["len"]) < QUOTING]
    with path.open("rb") as file:
        pieces = list(PcapSource(file, path.name, Devices([device])))
        file.seek(0)
        first = next(pcap.read(file, path.name, Counter())).time_ns[0]
    together = Packets._make(np.concatenate(columns) for columns in zip(*pieces, strict=True))
    quotes = (together.transport == Transport.ICMP) & (together.length >= QUOTING)
    found = Packets._make(column[(together.transport != Transport.ARP) & ~quotes] for column in together)
    assert (found.time_ns - first).tolist() == [round(float(row["t"]) * 1e6) * 1000 for row in wanted]
    assert found.outgoing.tolist() == [row["dir"] == "o" for row in wanted]
    assert [Transport(number).name.lower() for number in found.transport] == [row["proto"] for row in wanted]
    assert found.source_port.tolist() == [int(row["sport"] or 0) for row in wanted]
    assert found.target_port.tolist() == [int(row["dport"] or 0) for row in wanted]
    assert found.length.tolist() == [int(row["len"]) for row in wanted]
    assert found.flags.tolist() == [int(row["flags"].strip("-") or "0", 16) for row in wanted]
    assert numbered(found.peer.tolist()) == numbered([row["peer"] for row in wanted])


def numbered(names: list[int] | list[str]) -> list[int]:
    """Return a number for each name, in the order of first sight."""
    known: dict[int | str, int] = {}
    return [known.setdefault(name, len(known)) for name in names]
