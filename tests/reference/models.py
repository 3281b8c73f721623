"""A small model, the same each time, and keys to sign it with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from spikebridge_detectors.lif import Layer, truncated
from spikebridge_detectors.model.container import joined, split
from spikebridge_detectors.model.file import written
from spikebridge_detectors.model.header import Encoder, Header, Output, Training
from spikebridge_detectors.model.header import Layer as Said
from spikebridge_detectors.model.keys import Trust, key_id, signed
from spikebridge_detectors.model.synapses import pruned

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY = ec.derive_private_key(20_261_121, ec.SECP256R1())
STRANGER = ec.derive_private_key(4711, ec.SECP256R1())
TRUST = Trust({key_id(KEY.public_key()): KEY.public_key()})


def layers() -> tuple[Layer, Layer]:
    """Return eight neurons that see five lines, and two that see some of these."""
    luck = np.random.default_rng(15)
    first = truncated(luck.integers(-150, 256, (8, 5)))
    second = pruned(luck.integers(-256, 256, (2, 8)), 0.4, 4)
    return (
        Layer(weights=first, exponent=1, du=2000, dv=1000, vth=900, bias=np.arange(-4, 4, dtype=np.int32) * 8192),
        Layer(weights=second, du=4095, dv=1024, vth=300, bias=np.zeros(2, np.int32)),
    )


def header(**other: Any) -> Header:
    """Return what the model says of itself."""
    first, second = layers()
    said = Header(
        name="pump",
        version=3,
        about="Finds a pump that no longer sounds like one.",
        inputs=tuple(f"band-{number}" for number in range(5)),
        encoder=Encoder(name="delta", settings={"step": 0.25, "bands": [1, 2, 4]}),
        layers=(Said.of(first, "hidden"), Said.of(second, "out", sources=("hidden",), bits=4)),
        outputs=(
            Output(name="smooth", neuron=90, layer="out", unit=1),
            Output(name="loose", neuron=91, layer="out", unit=0),
        ),
        classes={"pump": {}, "old-pump": {"out": 400}},
        memory_s=60,
        training=Training(data="generated vibration", sha256="ab" * 32, generator="vibration 1", seed=5),
    )
    return msgspec.structs.replace(said, **other)


def recorded() -> NDArray[np.uint32]:
    """Return 64 steps of spikes."""
    luck = np.random.default_rng(8)
    return luck.integers(0, 1 << 32, (5, 2), dtype=np.uint32) & luck.integers(0, 1 << 32, (5, 2), dtype=np.uint32)


def unsigned(**other: Any) -> bytes:
    """Return the file before it is signed."""
    return written(header(**other), layers(), recorded())


def whole(**other: Any) -> bytes:
    """Return the file, signed by `KEY`."""
    return signed(split(unsigned(**other)), KEY)


def retold(change: dict[str, Any], data: bytes) -> bytes:
    """Return a file of which the header says something else, at places such as `layers.0.du`, signed all the same."""
    envelope = split(data)
    told = msgspec.json.decode(envelope.header)
    for place, value in change.items():
        *path, last = (int(key) if key.isdigit() else key for key in place.split("."))
        inner: Any = told
        for key in path:
            inner = inner[key]
        inner[last] = value
    return signed(split(joined(msgspec.json.encode(told, order="sorted"), envelope.arrays)), KEY)
