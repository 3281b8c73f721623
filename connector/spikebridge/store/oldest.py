"""What goes first where a table holds more than it may."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import Connection


def last_to_go(connection: Connection, ask: str, beyond: int) -> int:
    """Return the number of the last row that goes so that `beyond` bytes go, 0 if none must; `ask` gives number and size, oldest first."""
    last = 0
    if beyond > 0:
        with closing(connection.execute(ask)) as oldest:
            for number, size in oldest:
                last, beyond = number, beyond - size
                if beyond <= 0:
                    break
    return last
