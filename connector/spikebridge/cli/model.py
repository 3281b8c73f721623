"""`spikebridge model`: keys for models, and who signed one, and what is in it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from spikebridge.cli import model_compare, model_learn
from spikebridge.cli.model_files import model_at, model_file, named
from spikebridge.cli.terminal import counted, print_json, print_table, printable
from spikebridge.errors import SpikebridgeError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from types import ModuleType

    from spikebridge_detectors.model.file import Model

NAME = "model"
HELP = "sign a model, verify one, show what is in it, compare engines, learn anew, or exchange it with other frameworks"
EXAMPLE = """
spikebridge model keygen release
spikebridge model sign pump.spike --key release.key
spikebridge model verify pump.spike --keys trusted/ --replaces running.spike
spikebridge model inspect pump.spike --json
spikebridge model compare pump.spike --lava
spikebridge model learn examples.npz --like pump.spike --version 4 --data 'our own pumps, October' --keep 0.5 --out new.spike
spikebridge model export pump.spike --out pump.nir
spikebridge model import pump.nir --like pump.spike --version 4 --data 'our own pumps, October' --out new.spike
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask what to do."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    keygen = actions.add_parser("keygen", help="write a new pair of keys, NAME.key to sign with and NAME.pub to verify with")
    keygen.add_argument("name", metavar="NAME", type=Path, help="how the files begin; none that is there is written over")
    sign = actions.add_parser("sign", help="check a model, its self-test too, and sign it; a signature that it has is replaced")
    verify = actions.add_parser("verify", help="say whether it may be run here: exits 1 with the reason if not")
    inspect = actions.add_parser(
        "inspect", help="show what a model says of itself, whoever signed it, and how large its parts are"
    )
    both = actions.add_parser(
        "compare", help="run the recorded spikes with every engine that is here, and count what differs: exits 1 if anything does"
    )
    model_compare.arguments(both)
    model_learn.arguments(
        actions.add_parser(
            "learn", help="learn the weights of a model from labelled examples, by gradients: needs torch and snnTorch"
        )
    )
    export = actions.add_parser(
        "export", help="write the network as NIR, and count the spikes that a reader in floating point has otherwise"
    )
    take = actions.add_parser(
        "import", help="make a model of a NIR file, and count the spikes that the hardware's grid has otherwise"
    )
    take.add_argument("file", metavar="NIR", type=Path, help="a file of one chain of Linear or Affine and CubaLIF or LIF nodes")
    take.add_argument(
        "--like",
        metavar="FILE",
        type=Path,
        required=True,
        help="the model that gives all but the network: names, encoder, recorded spikes",
    )
    take.add_argument("--version", metavar="N", type=int, required=True, help="the version of the new model")
    take.add_argument("--data", metavar="TEXT", required=True, help="what it was trained on, in words")
    take.add_argument(
        "--bits", metavar="N", type=int, default=8, choices=range(1, 9), help="bits of a weight (default: %(default)s)"
    )
    for action in (export, take):
        action.add_argument("--out", metavar="OUT", type=Path, required=True, help="the file to write")
    sign.add_argument("file", metavar="FILE", type=Path, help="the model, a file *.spike")
    for action in (verify, inspect, both, export):
        action.add_argument("file", metavar="FILE", type=model_file, help="the model, a file *.spike or one that ships")
    sign.add_argument("--key", metavar="KEY", type=Path, required=True, help="the private key, which only its owner may read")
    sign.add_argument("--out", metavar="OUT", type=Path, help="where the signed model goes (default: in place of FILE)")
    trusted = "the directory of the public keys *.pub that are trusted (default: none, only models that ship are)"
    verify.add_argument("--keys", metavar="DIR", type=Path, help=trusted)
    verify.add_argument("--replaces", metavar="OLD", type=Path, help="the model that runs now: none of its name may be older")
    for action in (verify, inspect, both):
        action.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Do one of them; what is wrong with a model or a key is said, never raised as it is."""
    from spikebridge_detectors.errors import ModelError

    actions = {
        "keygen": _keygen,
        "sign": _sign,
        "verify": _verify,
        "inspect": _inspect,
        "compare": model_compare.compare,
        "learn": model_learn.learn,
        "export": _export,
        "import": _import,
    }
    try:
        return actions[args.action](args)
    except ModelError as error:
        raise SpikebridgeError(str(error)) from error


def _keygen(args: argparse.Namespace) -> int:
    from spikebridge_detectors.model import keys

    private, public = keys.generate(args.name)
    print(printable(f"{private}: sign with it, and keep it away from machines that run models"))
    print(printable(f"{public}: key {_short(keys.key_id(keys.public_key(public)))}, for those who verify"))
    return 0


def _sign(args: argparse.Namespace) -> int:
    from spikebridge_detectors.model import container, keys
    from spikebridge_detectors.model.file import opened, self_test

    key = keys.private_key(args.key)
    with named(args.file):
        data = container.read(args.file)
        model = opened(data)
        self_test(model)
    signed = keys.signed(container.split(data), key)
    out = args.out or args.file
    container.save(out, signed)
    print(printable(f"{out}: {_title(model)}, {len(signed):,} bytes, signed by key {_short(keys.key_id(key.public_key()))}"))
    return 0


def _verify(args: argparse.Namespace) -> int:
    from spikebridge_detectors.errors import ModelError
    from spikebridge_detectors.model import container, keys
    from spikebridge_detectors.model.file import load

    trust = keys.Trust.in_directory(args.keys) if args.keys else keys.Trust()
    replaces = model_at(args.replaces) if args.replaces else None
    data = container.read(args.file)
    try:
        model = load(data, trust, replaces=replaces)
    except ModelError as error:
        if args.json:
            print_json({"good": False, "fault": str(error)})
        else:
            for line in str(error).splitlines():
                print(printable(f"{args.file}: {line}"))
        return 1
    if args.json:
        print_json({"good": True, "name": model.header.name, "version": model.header.version, "key": model.signer})
    else:
        since = "it shipped" if model.signer == keys.PINNED else f"key {model.signer[: keys.SHOWN]} signed it"
        print(printable(f"{args.file}: {_title(model)}, unchanged since {since}; self-test passed"))
    return 0


def _inspect(args: argparse.Namespace) -> int:
    from spikebridge_detectors.model import container

    model = model_at(args.file)
    key_id = container.split(container.read(args.file)).key_id
    if args.json:
        sizes = {**model.sizes, "file": sum(model.sizes.values())}
        print_json({"header": model.header, "sha256": model.digest, "key": key_id.hex(), "sizes": sizes})
        return 0
    header = model.header
    print(printable(f"{_title(model)}: {header.about}" if header.about else _title(model)))
    print(f"sha256 {model.digest}")
    print(f"says that key {_short(key_id)} signed it, which nobody has verified here" if key_id else "unsigned")
    print(printable(f"for {', '.join(header.classes)}; {len(header.inputs)} inputs of the encoder {header.encoder.name}"))
    print(printable(f"outputs {', '.join(f'{output.neuron} {output.name}' for output in header.outputs)}"))
    print("runs in the service" if header.runs_in_service else "runs in `sense` alone: it remembers more than 5 minutes")
    print(printable(f"trained on {header.training.data}"))
    print()
    print_table(("layer", "inputs", "units", "weights", "not 0", "clock"), _layers(model))
    print()
    print_table(("part", "bytes"), [*model.sizes.items(), ("file", sum(model.sizes.values()))])
    return 0


def _export(args: argparse.Namespace) -> int:
    from spikebridge_detectors.model import exchange

    nir_file, model = _nir_file(), model_at(args.file)
    with named(args.file):
        nir_file.write(args.out, exchange.given_away(model))
    with named(args.out):
        found = exchange.compared(model, nir_file.read(args.out))
    spikes = counted(found.spikes, "spike")
    print(printable(f"{args.out}: {spikes} for the recorded input, of which {found.differing:,} differ in floating point"))
    if any(layer.bias.any() for layer in model.layers):
        print(printable(f"{args.out}: it has biases: snnTorch refuses the file, and Norse has other spikes"))
    return 0


def _import(args: argparse.Namespace) -> int:
    from spikebridge_detectors.model import container, exchange
    from spikebridge_detectors.model.file import opened
    from spikebridge_detectors.model.header import Training

    nir_file, like = _nir_file(), model_at(args.like)
    training = Training(data=args.data, sha256=hashlib.sha256(args.file.read_bytes()).hexdigest())
    with named(args.file):
        layers = nir_file.read(args.file)
        data = exchange.taken_over(layers, like, version=args.version, training=training, bits=args.bits)
    container.save(args.out, data)
    found = exchange.compared(opened(data), layers)
    spikes = counted(found.spikes, "spike")
    print(printable(f"{args.out}: {spikes} for the recorded input, of which {found.differing:,} differ in {args.file}; unsigned"))
    return 0


def _nir_file() -> ModuleType:
    try:
        from spikebridge_detectors.model import nir_file
    except ModuleNotFoundError as error:
        raise SpikebridgeError(f"{error.name} is not installed; install it with: pip install 'spikebridge[nir]'") from error
    return nir_file


def _layers(model: Model) -> Iterator[tuple[object, ...]]:
    for said, layer in zip(model.header.layers, model.layers, strict=True):
        share = (layer.weights != 0).mean()
        clock = f"{said.step_ns:,} ns" if said.step_ns else "each event"
        yield said.name, layer.inputs, layer.units, f"{said.sign}, {said.bits} bits", f"{share:.0%}", clock


def _title(model: Model) -> str:
    return f"{model.header.name} version {model.header.version}"


def _short(key_id: bytes) -> str:
    from spikebridge_detectors.model import keys

    return key_id.hex()[: keys.SHOWN]
