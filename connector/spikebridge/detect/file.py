"""A model in a revision."""

from __future__ import annotations

import msgspec


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file, signature included, and what it says of itself: `digest` is the SHA-256 of what was signed."""

    name: str
    version: int
    digest: str
    classes: tuple[str, ...]
    file: bytes
