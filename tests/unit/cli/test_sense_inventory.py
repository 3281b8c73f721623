"""`spikebridge sense --inventory`: devices and their classes as the inventory has them, not typed again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests import captures
from tests.unit.detectors.traffic import poller

from spikebridge import cli
from spikebridge.spikes.files import read_values
from spikebridge.spikes.frame import unpack
from spikebridge_detectors.elapsed import SECOND_NS
from spikebridge_detectors.model import container, keys
from spikebridge_detectors.model.header import Training
from spikebridge_detectors.timing.detector import Timing
from spikebridge_detectors.timing.model import About, modelled

if TYPE_CHECKING:
    from pathlib import Path

INVENTORY = """
classes: {meter: {}, lamp: {}}
devices:
- {id: meter-1, class: meter, addresses: ["02:00:00:00:00:01", 10.0.0.1]}
- {id: lamp-1, class: lamp, addresses: [10.0.0.2]}
- {id: lamp-2, class: lamp, addresses: [10.0.0.2, 10.0.0.9]}
- {id: lamp-3}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Write an inventory, a capture of packets from 10.0.0.1 to 10.0.0.4, and a table of three devices."""
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    said = [(captures.ipv4(captures.udp(), 17, source=f"10.0.0.{end}"), f"02:00:00:00:00:0{end}") for end in range(1, 5)]
    sent = [captures.ethernet(packet, source=mac, target="02:00:00:00:00:99") for packet, mac in said]
    (tmp_path / "site.pcap").write_bytes(captures.pcap([captures.Frame(SECOND_NS, packet) for packet in sent]))
    (tmp_path / "site.csv").write_text("t,device,dir\n1,meter-1,o\n2,lamp-1,o\n3,thief,o\n")
    return tmp_path


def sense(site: Path, *given: object) -> int:
    """Run the command."""
    place = ["--to", site / "found.spk", "--state", site / "state", "--inventory", site / "inventory.yaml"]
    return cli.main(["sense", *map(str, [*given, *place])])


def names(site: Path) -> set[str]:
    """Return the devices whose frames were sent."""
    with (site / "found.spk").open("rb") as file:
        return {unpack(value, 1).head.device for _, value in read_values(file)}


def test_devices_are_those_of_the_inventory_by_their_addresses(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An address of two is the first one's; nobody else is a device, and how many never came is said."""
    assert sense(site, "--pcap", site / "site.pcap") == 0
    said = capsys.readouterr().err
    assert names(site) == {"meter-1", "lamp-1"}
    assert "2 packets of 2 devices" in said
    assert "2 x packet of no device\n" in said
    assert f"2 devices of {site / 'inventory.yaml'}: no packet came\n" in said


def test_device_adds_to_the_inventory_and_stands_above_it(site: Path) -> None:
    """Where both have an address."""
    assert sense(site, "--pcap", site / "site.pcap", "--device", "probe=10.0.0.2", "--device", "10.0.0.4") == 0
    assert names(site) == {"meter-1", "probe", "10.0.0.4"}


def test_of_a_table_those_are_watched_whose_ids_the_inventory_has(site: Path) -> None:
    """Whatever their addresses are."""
    assert sense(site, "--table", site / "site.csv") == 0
    assert names(site) == {"meter-1", "lamp-1"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a signed model of meters, its public key beside it."""
    folder = tmp_path_factory.mktemp("models")
    about = About("timing-meter", 1, "Generated.", ("meter",), Training(data="generated"))
    data = modelled(Timing().learn(poller(hours=80, every=300, seed=2)), about)
    private, _ = keys.generate(folder / "release")
    (folder / "meter.spike").write_bytes(keys.signed(container.split(data), keys.private_key(private)))
    return folder


def test_a_model_watches_the_devices_of_its_class(site: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With no `--class`; one that is given stands beside those of the inventory."""
    given = ["--pcap", site / "site.pcap", "--model", model / "meter.spike", "--keys", model]
    assert sense(site, *given) == 0
    said = capsys.readouterr().err
    assert "meter-1: learned until about 1970-01-08 00:00 UTC, the model of its class watches it before\n" in said
    assert "2 being learned, 1 of them watched by the model\n" in said
    assert sense(site, *given, "--class", "lamp-1=meter", "--state", site / "another", "--dry-run") == 0
    assert "2 being learned, 2 of them watched by the model\n" in capsys.readouterr().err


def test_an_inventory_of_no_use_is_refused_and_leaves_nothing(
    site: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what is expected: else the private networks would be watched, or nothing by the model."""
    before = {path: path.read_bytes() for path in site.iterdir()}
    inventory = site / "inventory.yaml"
    for text, given, expected in (
        ("devices: [{id: lamp-3}]", [], "expected devices with addresses, found none"),
        ("devices: [{id: lamp-3, addresses: [lamp.lan]}]", [], "expected [NAME=] and a MAC, an address or a network"),
        ("devices: [{id: lamp-3, adresses: []}]", [], 'did you mean "addresses"?'),
        (
            "classes: {lamp: {}}\ndevices: [{id: lamp-3, class: lamp, addresses: [10.0.0.1]}]",
            ["--model", model / "meter.spike", "--keys", model],
            "expected a device with a class of the model (meter), found none",
        ),
    ):
        inventory.write_text(text)
        assert sense(site, "--pcap", site / "site.pcap", *given) == 2
        assert expected in capsys.readouterr().err
    inventory.write_text(INVENTORY)
    assert sense(site, "--series", site / "site.csv", "--model", model / "meter.spike") == 2
    assert "and no --class or --inventory" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in site.iterdir()} == before
