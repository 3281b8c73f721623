"""One SQLite file: made, migrated, refused."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from spikebridge.database import Database, Faults, Schema
from spikebridge.errors import LogError, LogFull, LogMissing, SchemaError

FAULTS = Faults(LogError, LogFull, LogMissing)
STEPS = (
    ("CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT NOT NULL)",),
    ("ALTER TABLE words ADD COLUMN length INTEGER NOT NULL DEFAULT 0", "UPDATE words SET length = length(word)"),
    ("CREATE INDEX words_by_length ON words (length)",),
)


def schema(version: int) -> Schema:
    """Return the schema as the program of that version knew it."""
    return Schema("word list", 77, STEPS[:version])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "words.db"


def words(database: Database) -> list[tuple[object, ...]]:
    """Return all rows."""
    with database.reading() as connection:
        return connection.execute("SELECT * FROM words").fetchall()


def write(database: Database, word: str) -> None:
    """Add one row."""
    with database.transaction() as connection:
        connection.execute("INSERT INTO words (word) VALUES (?)", (word,))


def test_an_older_file_is_migrated_with_what_it_holds(path: Path) -> None:
    """A file of version 1 opens under version 3, and its rows have got what the steps between add."""
    old = Database(path, schema(1), FAULTS)
    write(old, "spike")
    old.close()

    new = Database(path, schema(3), FAULTS)

    assert words(new) == [(1, "spike", 5)]
    with new.reading() as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    new.close()


def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    """A migration step is whole or not at all, and the older program can still open the file."""
    old = Database(path, schema(1), FAULTS)
    write(old, "spike")
    old.close()
    broken = Schema("word list", 77, (STEPS[0], ("ALTER TABLE words ADD COLUMN length INTEGER", "UPDATE sentences SET x = 1")))

    with pytest.raises(LogError, match="no such table: sentences"):
        Database(path, broken, FAULTS)

    old = Database(path, schema(1), FAULTS)
    assert words(old) == [(1, "spike")]
    old.close()


def test_a_newer_file_is_refused(path: Path) -> None:
    """What a newer program wrote is not touched, and the message says what to do."""
    Database(path, schema(3), FAULTS).close()

    with pytest.raises(SchemaError, match=r"words\.db has schema version 3, this Spikebridge knows 1: upgrade Spikebridge"):
        Database(path, schema(1), FAULTS)


def test_another_programs_file_is_refused(path: Path) -> None:
    """A database that isn't ours is not given our tables."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()

    with pytest.raises(LogError, match="another program's database, not a word list"):
        Database(path, schema(1), FAULTS)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    """No traceback of SQLite's for a file that is something else."""
    path.write_bytes(b"no database at all, but a text that is long enough to be read as a header" * 20)

    with pytest.raises(LogError, match=r"words\.db: file is not a database"):
        Database(path, schema(1), FAULTS)


def test_opening_to_read_neither_creates_nor_migrates_nor_writes(path: Path) -> None:
    """A look at the data leaves it as it is."""
    with pytest.raises(LogMissing, match="there is no word list at"):
        Database(path, schema(1), FAULTS, read_only=True)
    assert not path.exists()

    writing = Database(path, schema(1), FAULTS)
    with pytest.raises(LogError, match="is of an older version"):
        Database(path, schema(2), FAULTS, read_only=True)

    reading = Database(path, schema(1), FAULTS, read_only=True)
    with pytest.raises(LogError, match="was opened only to be read"):
        write(reading, "spike")
    write(writing, "spike")
    assert words(reading) == [(1, "spike")]
    writing.close()
    reading.close()


def test_a_transaction_that_raises_leaves_nothing(path: Path) -> None:
    """All or nothing, and the connection is good for the next one."""
    database = Database(path, schema(1), FAULTS)

    def fail() -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO words (word) VALUES ('half')")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    write(database, "whole")
    assert words(database) == [(1, "whole")]
    database.close()


def test_every_thread_has_its_own_connection(path: Path) -> None:
    """Threads write at the same time without knowing of each other, and one `close` closes all."""
    database = Database(path, schema(1), FAULTS)
    threads = [threading.Thread(target=write, args=(database, f"word {number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(words(database)) == 8
    database.close()
    database.close()


def test_what_was_closed_stays_closed(path: Path) -> None:
    """Whoever comes too late is told, in place of a connection that nobody would close."""
    database = Database(path, schema(1), FAULTS)
    database.close()

    with pytest.raises(LogError, match=r"words\.db: closed"):
        words(database)
    assert not any(link.resolve() == path for link in Path("/proc/self/fd").iterdir())


def test_threads_that_have_ended_leave_no_connections(path: Path) -> None:
    """A server that takes each request in a new thread doesn't run out of files."""
    database = Database(path, schema(1), FAULTS)
    for number in range(20):
        thread = threading.Thread(target=write, args=(database, f"word {number}"))
        thread.start()
        thread.join()

    assert sum(link.resolve() == path for link in Path("/proc/self/fd").iterdir()) <= 3
    assert len(words(database)) == 20
    database.close()


def test_processes_may_create_the_file_at_once(path: Path) -> None:
    """Whoever comes first makes the tables, the others find them."""
    program = f"""
from pathlib import Path
from spikebridge.database import Database, Faults, Schema
from spikebridge.errors import LogError
Database(Path({str(path)!r}), Schema("word list", 77, {STEPS!r}), Faults(LogError, LogError, LogError)).close()
"""
    started = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(4)]

    assert [process.wait(60) for process in started] == [0, 0, 0, 0]
    Database(path, schema(3), FAULTS).close()
