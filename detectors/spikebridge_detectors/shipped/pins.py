"""The models that ship: file names with the SHA-256 of what would be signed. These are run without a key, as they lie in the wheel."""

from __future__ import annotations

from pathlib import Path

PINS: dict[str, str] = {
    "rhythm.spike": "74b6fc4dbaecbdbb78ee5d824cafedd99ea4d40b063c23b1d4400e6a9c4d19ca",
    "timing.spike": "4992ee8e2d86a09ab5aa282354935317a0b96a5765feb5ac4ca2b7b7eae380b4",
    "power.spike": "4f92356874425d69e4b1618673b2a8b559c1c49f1a850eda4e2fcf1d372e5b7b",
    "vibration.spike": "483486a46bb75d3a6e3064777adf94a9dcd59fb13fb8c0ee47cd2a738d274699",
    "rf.spike": "ff35b61cd4aceaeb68be5da244c815a093ef18e8b2cc71e9c6377e8f52519c9a",
}
"""`python -m spikebridge_detectors.shipped.make` says what belongs here."""


def place(name: str) -> Path:
    """Return where a model that ships lies."""
    return Path(__file__).with_name(name)


def shipped(name: str) -> bytes:
    """Return a model that ships."""
    return place(name).read_bytes()
