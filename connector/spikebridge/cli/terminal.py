"""
What reaches a terminal: text that can't steer it.

Devices, rules and files are named by others, so a name may hold escape sequences or turn the direction of writing.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0 with ESC, DEL, C1 with CSI
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, line ends, what can't be seen
    "\ud800-\udfff\U000e0000-\U000e007f]",  # halves of letters, tags
)


def printable(text: str) -> str:
    r"""Return the text with each letter that could steer a terminal written out, as in `\x1b`; line ends too."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, as people write it."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def print_json(value: Any) -> None:
    """Print one JSON document on one line, in ASCII: whatever letters it holds, they reach a terminal as escapes."""
    import msgspec

    text = json.dumps(msgspec.to_builtins(value), ensure_ascii=True, separators=(",", ":"))
    print(text.replace("\x7f", "\\u007f"))


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a header and columns as wide as they need to be."""
    cells = [[title.upper() for title in header], *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
