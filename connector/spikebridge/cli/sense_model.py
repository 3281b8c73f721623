"""The model that `spikebridge sense` watches by, and the devices that it watches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from spikebridge.alerts import DeviceInfo
    from spikebridge_detectors.model.file import Model
    from spikebridge_detectors.sense.sensor import Taught


def add_watched(parser: argparse.ArgumentParser) -> None:
    """Ask for the inventory, and for a model and whom it watches."""
    parser.add_argument(
        "--inventory",
        metavar="FILE",
        type=Path,
        help="the inventory, whose devices are those to watch, by their addresses or in a table by their ids; --device adds to it and stands above it",
    )
    parser.add_argument(
        "--model",
        metavar="FILE",
        type=Path,
        help="a model of timing, a file or one that ships; devices of its classes are watched by it until they are learned",
    )
    parser.add_argument(
        "--keys", metavar="DIR", type=Path, help="public keys *.pub that may have signed it (a model that ships needs none)"
    )
    parser.add_argument(
        "--class",
        metavar="DEVICE=CLASS",
        dest="classes",
        action="append",
        default=[],
        help="the class of a device, by its name (default: that of the --inventory)",
    )


def watching(args: argparse.Namespace) -> Model | None:
    """Return the model, verified; refuse one that nothing asks for, and a series without one."""
    from spikebridge_detectors.errors import ModelError
    from spikebridge_detectors.model import container, keys
    from spikebridge_detectors.model.file import load
    from spikebridge_detectors.shipped.pins import PINS, place

    if args.series and (not args.model or args.classes or args.inventory):
        raise SpikebridgeError(
            "--series: expected a --model of power, vibration or rf that judges it, and no --class or --inventory"
        )
    idle = not (args.classes or args.inventory) if args.model else bool(args.classes)
    if idle and not args.series:
        raise SpikebridgeError(
            "--model, --class: expected both or none: a model watches the devices that --class names, or --inventory"
        )
    if not args.model:
        return None
    try:
        path = place(str(args.model)) if str(args.model) in PINS and not args.model.exists() else args.model
        return load(container.read(path), keys.Trust.in_directory(args.keys) if args.keys else keys.Trust())
    except ModelError as error:
        raise SpikebridgeError(f"{args.model}: {error}") from error


def inventory_of(args: argparse.Namespace) -> list[DeviceInfo]:
    """Return the devices of the inventory, if one is named."""
    from spikebridge.limits import Limits
    from spikebridge.mapping.load import load

    if not args.inventory:
        return []
    return [device.info for device in load([], args.inventory, Limits()).rule_set.devices]


def listed(args: argparse.Namespace, inventory: Sequence[DeviceInfo]) -> list[str]:
    """Return who is a device: those of the inventory, of which the first has an address that two share, then those of `--device`."""
    if args.table:
        known = [info.id for info in inventory]
    else:
        known = [f"{info.id}={address}" for info in reversed(inventory) for address in info.addresses]
    if args.inventory and not known:
        raise SpikebridgeError(f"{args.inventory}: expected devices{'' if args.table else ' with addresses'}, found none")
    return [*known, *args.device]


def classes_of(args: argparse.Namespace, model: Model | None, inventory: Sequence[DeviceInfo]) -> dict[str, Taught]:
    """Return what the model learned for each device that has a class of it; refuse a class of `--class` that it doesn't know."""
    from spikebridge_detectors.sense.sensor import Taught
    from spikebridge_detectors.timing.model import learned_from

    if model is None or args.series:
        return {}
    taught = Taught(learned_from(model), bytes.fromhex(model.digest))
    known = ", ".join(model.header.classes)
    named = {info.id: taught for info in inventory if info.device_class in model.header.classes}
    for text in args.classes:
        name, _, device_class = text.rpartition("=")
        if not name or device_class not in model.header.classes:
            raise SpikebridgeError(f'--class: expected DEVICE=CLASS with a class of the model ({known}), found "{text}"')
        named[name] = taught
    if not named:
        raise SpikebridgeError(f"{args.inventory}: expected a device with a class of the model ({known}), found none")
    return named
