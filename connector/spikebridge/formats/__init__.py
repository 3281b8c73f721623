"""
Shapes in which a finding leaves: one module each, `document` makes plain dicts, `encode` the same as JSON bytes.

Pure: equal findings give equal bytes, whatever was made before. `CONTENT_TYPE` says what the bytes are.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from spikebridge import registry
from spikebridge.validation import closest


def _format(name: str) -> str:
    known = registry.names("formats")
    if name not in known:
        message = f"expected one of {', '.join(known)}"
        raise ValueError(message + f', found "{name}"{closest(name, known)}')
    return name


FormatName = Annotated[str, AfterValidator(_format)]
"""The name of a format, where an operator may choose one."""
