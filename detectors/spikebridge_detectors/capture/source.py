"""Files whose packets come as headers: captures, and what else is read so."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, BinaryIO

from spikebridge_detectors.capture import pcap
from spikebridge_detectors.capture.packets import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spikebridge_detectors.capture.columns import Packets
    from spikebridge_detectors.capture.devices import Devices
    from spikebridge_detectors.capture.frames import Passed
    from spikebridge_detectors.capture.packets import Headers

    Read = Callable[[BinaryIO, str, Counter[Passed]], Iterator[Headers]]
    """Yields the headers of a file, and counts what has none."""


class HeaderSource:
    """Packets of a file or stream that `read` reads; `passed` counts what yielded none, and why."""

    def __init__(self, read: Read, file: BinaryIO, name: str, devices: Devices) -> None:
        """Read `file`, which errors call `name`."""
        self.passed: Counter[Passed] = Counter()
        self._read = read
        self._file = file
        self._name = name
        self._devices = devices

    @property
    def devices(self) -> Sequence[str]:
        """Return the names of the devices known so far."""
        return self._devices.names

    def __iter__(self) -> Iterator[Packets]:
        """Yield a piece for all that could be read at once."""
        for headers in self._read(self._file, self._name, self.passed):
            yield self._devices.rows(headers, self.passed)


class PcapSource(HeaderSource):
    """Packets of a pcap or pcapng file or stream."""

    def __init__(self, file: BinaryIO, name: str, devices: Devices) -> None:
        """Read `file`, which errors call `name`."""
        super().__init__(_captured, file, name, devices)


def _captured(file: BinaryIO, name: str, passed: Counter[Passed]) -> Iterator[Headers]:
    for frames in pcap.read(file, name, passed):
        yield decode(frames, passed)
