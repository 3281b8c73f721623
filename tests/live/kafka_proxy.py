"""A way to a broker that can give the answer of one that is going down: topics, and no servers."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_METADATA = 3
_FIRST_FLEXIBLE = 9
"""The first version of that question in which lengths are written short, as they are read here."""

_SIZE = struct.Struct(">i")
_QUESTION = struct.Struct(">hhi")
_SERVERS_AT = 4 + 1 + 4
"""Behind the number that joins answer and question, no tags, and the throttling."""


class Proxy:
    """
    Passes everything to one broker, which sends its clients here.

    While it is forgetting, what the broker says of its cluster names no servers, and the connection ends behind it.
    """

    def __init__(self, broker: str) -> None:
        """Open a port on loopback; the broker is connected when a client comes."""
        host, port = broker.rsplit(":", 1)
        self._broker = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.port = int(self._listener.getsockname()[1])
        self._forgetting = False
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection."""
        for one in (self._listener, *self._open):
            _shut(one)

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """End every connection, and name no servers until the block ends."""
        self._forgetting = True
        for one in list(self._open):
            _shut(one)
        try:
            yield
        finally:
            self._forgetting = False

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    broker = socket.create_connection(self._broker)
                except OSError:
                    _shut(client)
                    continue
                self._open |= {client, broker}
                asked: dict[int, int] = {}
                for way in (self._ask, self._answer):
                    threading.Thread(target=self._passed, args=(way, client, broker, asked), name="proxy", daemon=True).start()

    def _passed(self, way: Callable[..., None], client: socket.socket, broker: socket.socket, asked: dict[int, int]) -> None:
        try:
            with suppress(OSError, EOFError):
                way(client, broker, asked)
        finally:
            for one in (client, broker):
                _shut(one)
                self._open.discard(one)

    @staticmethod
    def _ask(client: socket.socket, broker: socket.socket, asked: dict[int, int]) -> None:
        while True:
            frame = _frame(client)
            key, version, number = _QUESTION.unpack_from(frame)
            if key == _METADATA:
                asked[number] = version
            broker.sendall(_SIZE.pack(len(frame)) + frame)

    def _answer(self, client: socket.socket, broker: socket.socket, asked: dict[int, int]) -> None:
        while True:
            frame = _frame(broker)
            version = asked.pop(_SIZE.unpack_from(frame)[0], 0)
            forgetting = self._forgetting and version > 0
            if forgetting:
                assert version >= _FIRST_FLEXIBLE
                frame = _without_servers(frame)
            client.sendall(_SIZE.pack(len(frame)) + frame)
            if forgetting:
                return


def _without_servers(frame: bytes) -> bytes:
    """Leave out the one server; a length is written with one added, and one that is there not at all as 0."""
    at = _SERVERS_AT
    assert frame[at] == 1 + 1
    end = at + 1 + 4  # its id
    end += frame[end]  # its host
    end += 4  # its port
    end += max(1, frame[end])  # its rack
    end += 1  # no tags
    return frame[:at] + b"\x01" + frame[end:]


def _frame(source: socket.socket) -> bytes:
    return _exactly(source, _SIZE.unpack(_exactly(source, _SIZE.size))[0])


def _exactly(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        if not (more := source.recv(size - len(found))):
            raise EOFError
        found += more
    return found


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
