"""The revisions log of the spool."""

from __future__ import annotations

from spikebridge.canonical import sha256
from spikebridge.logs.spool.file import SpoolPart

LARGEST = (1 << 63) - 1
"""No row of SQLite's has a larger number."""


class RevisionsPart(SpoolPart):
    """Contents by number, from 1 on; none is ever let go, since alerts name them."""

    def publish(self, content: bytes) -> int:
        """Append a content, unless the newest has the same digest, and return its number."""
        digest = sha256(content)
        with self._file.database.transaction() as connection:
            row = connection.execute("SELECT number, digest FROM revisions ORDER BY number DESC LIMIT 1").fetchone()
            if row is not None and row[1] == digest:
                return int(row[0])
            number = 1 if row is None else row[0] + 1
            connection.execute("INSERT INTO revisions VALUES (?, ?, ?, ?)", (number, digest, content, self._file.wall()))
        return int(number)

    def revision(self, number: int) -> bytes | None:
        """Return a content by number; a marker may name any."""
        if number > LARGEST:
            return None
        with self._file.database.reading() as connection:
            row = connection.execute("SELECT content FROM revisions WHERE number = ?", (number,)).fetchone()
        return None if row is None else bytes(row[0])

    def newest(self) -> int | None:
        """Return the highest number; asking often is cheap."""
        with self._file.database.reading() as connection:
            (number,) = connection.execute("SELECT max(number) FROM revisions").fetchone()
        return None if number is None else int(number)

    def before(self, number: int) -> int | None:
        """Return the highest number below this one."""
        with self._file.database.reading() as connection:
            (found,) = connection.execute("SELECT max(number) FROM revisions WHERE number < ?", (number,)).fetchone()
        return None if found is None else int(found)
