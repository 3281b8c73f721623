"""
What reaches a terminal: text that can't steer it.

Devices, rules and files are named by others, so a name may hold escape sequences or turn the direction of writing.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from spikebridge.units import counted as counted  # noqa: PLC0414 -- what commands print is found here

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0 with ESC, DEL, C1 with CSI
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, line ends, what can't be seen
    "\ud800-\udfff\U000e0000-\U000e007f]",  # halves of letters, tags
)

_LEAST_ROOM = 24
"""A last column with fewer letters to a line is left as it is."""


def printable(text: str) -> str:
    r"""Return the text with each letter that could steer a terminal written out, as in `\x1b`; line ends too."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def print_json(value: Any) -> None:
    """Print one JSON document on one line, in ASCII: whatever letters it holds, they reach a terminal as escapes."""
    import msgspec

    text = json.dumps(msgspec.to_builtins(value), ensure_ascii=True, separators=(",", ":"))
    print(text.replace("\x7f", "\\u007f"))


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a header and columns as wide as they need to be; on a terminal what the last one has too much goes on in the next line."""
    cells = [[title.upper() for title in header], *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    before = sum(widths[:-1]) + 2 * len(widths[:-1])
    room = shutil.get_terminal_size().columns - before if sys.stdout.isatty() else 0
    for *row, last in cells:
        line = "".join(cell.ljust(width + 2) for cell, width in zip(row, widths[:-1], strict=True))
        parts = (textwrap.wrap(last, room, break_on_hyphens=False) if room >= _LEAST_ROOM else [last]) or [""]
        print((line + f"\n{' ' * before}".join(parts)).rstrip())
