"""One SQLite file: opened durably, migrated, one connection a thread, its errors said to the operator."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from spikebridge.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spikebridge.errors import SpikebridgeError

BUSY_SECONDS = 30
WAL_LEFT_BYTES = 64 * 1024 * 1024
_DISK_FULL = {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_TRUNCATE}
_PRIMARY = 0xFF


class Schema(NamedTuple):
    """
    What a file of this kind holds.

    `steps[n]` are the statements that make version n + 1 of version n; a step that was released is never changed.
    """

    what: str
    application_id: int
    steps: tuple[tuple[str, ...], ...]


class Faults(NamedTuple):
    """The errors to which those of SQLite are mapped: any, a disk that takes no more, a file that isn't there."""

    failed: type[SpikebridgeError]
    full: type[SpikebridgeError]
    missing: type[SpikebridgeError]


class Database:
    """
    A file in WAL mode whose every commit is on the disk (`synchronous=FULL`) when it returns.

    Each thread gets a connection of its own on first use; `close` closes them all, and none is opened afterwards.
    A newer schema is refused with `SchemaError`; an older one is migrated step by step, each step whole or not at all.
    """

    def __init__(self, path: Path, schema: Schema, faults: Faults, *, read_only: bool = False) -> None:
        """Open the file, and create or migrate it unless it is only to be read."""
        self.path = path
        self.read_only = read_only
        self._schema = schema
        self._faults = faults
        self._opened: dict[threading.Thread, sqlite3.Connection] = {}
        self._opening = threading.Lock()
        self._closed = False
        if read_only:
            if not path.is_file():
                raise faults.missing(
                    f"there is no {schema.what} at {path}: a service that runs makes it; --data or --config names where"
                )
        else:
            with self._mapped():
                path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._mapped():
                self._prepare()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give this thread's connection for single statements; exhaust or close their cursors, an open one holds back checkpoints."""
        with self._mapped():
            yield self._connection()

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Read several statements at one state of the file; nobody waits for it."""
        with self._mapped():
            connection = self._connection()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all or nothing; other writers, of this process and others, wait. On the disk at the end of the block."""
        with self._mapped():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if _is_full(error):
                    # what the WAL holds may fit where the file has free pages: room for the next attempt
                    with suppress(sqlite3.Error):
                        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                raise

    def close(self) -> None:
        """Close the connections of all threads; closing twice does nothing."""
        with self._opening:
            self._closed = True
            while self._opened:
                self._opened.popitem()[1].close()

    def _connection(self) -> sqlite3.Connection:
        """Return this thread's connection; a new one takes the place of those whose threads have ended."""
        thread = threading.current_thread()
        connection = self._opened.get(thread)
        if connection is None:
            with self._opening:
                if self._closed:
                    raise self._faults.failed(f"{self.path}: closed")
                for ended in [one for one in self._opened if not one.is_alive()]:
                    self._opened.pop(ended).close()
                connection = self._opened[thread] = self._connect()
        return connection

    def _connect(self) -> sqlite3.Connection:
        mode = "ro" if self.read_only else "rwc"
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # `close` closes from another thread; nothing else crosses threads
        )
        try:
            if not self.read_only:
                _use_wal(connection)
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute(f"PRAGMA journal_size_limit={WAL_LEFT_BYTES}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self) -> None:
        connection = self._connection()
        newest = len(self._schema.steps)
        if self._version(connection) == newest:
            return
        if self.read_only:
            raise self._faults.failed(
                f"{self.path} is of an older version: a command that writes, such as `spikebridge run`, migrates it"
            )
        for version in range(newest):
            with self.transaction() as migrating:
                if self._version(migrating) == version:
                    for statement in self._schema.steps[version]:
                        migrating.execute(statement)
                    migrating.execute(f"PRAGMA application_id={self._schema.application_id}")
                    migrating.execute(f"PRAGMA user_version={version + 1}")

    def _version(self, connection: sqlite3.Connection) -> int:
        """Return the file's schema version, 0 for an empty file; refuse what isn't ours to open."""
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application_id != self._schema.application_id:
            raise self._faults.failed(f"{self.path} is another program's database, not a {self._schema.what}")
        if version > len(self._schema.steps):
            raise SchemaError(
                f"{self.path} has schema version {version}, this Spikebridge knows {len(self._schema.steps)}: upgrade Spikebridge",
            )
        return int(version)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if self.read_only and _code(error) == sqlite3.SQLITE_READONLY:
                raise self._faults.failed(f"{self.path} was opened only to be read") from error
            if _is_full(error):
                raise self._faults.full(f"{self.path}: the disk takes no more ({error}): nothing of this was kept") from error
            raise self._faults.failed(f"{self.path}: {error}") from error
        except OSError as error:
            raise self._faults.failed(f"{self.path}: {error.strerror}") from error


def _code(error: BaseException) -> int:
    return getattr(error, "sqlite_errorcode", 0)


def _is_full(error: BaseException) -> bool:
    return _code(error) & _PRIMARY in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY} or _code(error) in _DISK_FULL


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; where several processes create the file at once, SQLite answers "locked" without waiting."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if _code(error) & _PRIMARY != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return
