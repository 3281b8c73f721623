"""What the spool lets go, what it refuses, and what it says about it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from spikebridge.alerts import AlertEntry
from spikebridge.errors import LogFull, LogMissing
from spikebridge.logs import Commit, Cursor
from spikebridge.logs.spool import Retention, Spool, Trimmed
from spikebridge.logs.spool.retention import HOUR
from spikebridge.logs.spool.trimming import STEP
from spikebridge.spikes.frame import encode_tick
from spikebridge.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Opener = Callable[[Retention], Spool]

MINUTE = HOUR // 60


@pytest.fixture
def clock() -> FakeClock:
    """Let time stand still."""
    return FakeClock()


@pytest.fixture
def opened(tmp_path: Path, clock: FakeClock) -> Iterator[Opener]:
    """Open a spool with the retention that a test asks for."""
    with ExitStack() as spools:
        yield lambda retention: spools.enter_context(Spool(tmp_path, retention, clock=clock, monotonic=clock.monotonic))


def alert(number: int, size: int = 2) -> AlertEntry:
    """Return an entry with a body of `size` bytes."""
    return AlertEntry(str(number), "alert", 1, (0, number, 0), b"x" * size)


def test_old_records_go_when_nobody_needs_them(opened: Opener, clock: FakeClock) -> None:
    """What is older than the age goes, but not what a rewind from the committed position needs."""
    spool = opened(Retention())
    spool.append([b"old"] * 3)
    middle = spool.last_append_ns()
    clock.advance(30 * HOUR)
    spool.append([b"new"])
    assert spool.trim() == Trimmed(0, 0)  # nothing was ever committed

    spool.commit([], Commit(3, middle, ((0, 1),)))
    assert spool.trim() == Trimmed(0, 0)  # the record before the position needs its look-back

    spool.commit([], Commit(4, spool.last_append_ns(), ((0, 1),)))
    assert spool.trim() == Trimmed(3, 0)
    assert spool.bounds() == (3, 4)
    assert spool.held().spike_bytes == 3
    with pytest.raises(LogMissing, match="record 2 is not in the spike log: it holds 3 to 3"):
        spool.poll(2, 1_000)


def test_offsets_and_time_go_on_after_everything_has_gone(opened: Opener, clock: FakeClock) -> None:
    """An offset is never given twice, also when no record is left."""
    spool = opened(Retention())
    spool.append([b"a", b"b"])
    last = spool.last_append_ns()
    clock.advance(25 * HOUR)
    spool.commit([], Commit(2, clock(), ()))
    assert spool.trim() == Trimmed(2, 0)

    assert spool.bounds() == (2, 2)
    assert spool.last_append_ns() == last
    assert spool.poll(2, 1_000) == []
    assert spool.append([b"c"]) == 2


def test_letting_go_takes_several_short_steps(opened: Opener, clock: FakeClock) -> None:
    """More records than fit a step go all the same."""
    spool = opened(Retention())
    spool.append([b"x"] * (2 * STEP + 1))
    clock.advance(25 * HOUR)
    spool.commit([], Commit(2 * STEP + 1, clock(), ()))

    assert spool.trim() == Trimmed(2 * STEP + 1, 0)


def test_alerts_stay_for_two_days_and_for_the_slowest_reader(opened: Opener, clock: FakeClock) -> None:
    """A sink that is away holds its alerts, however old; one that was forgotten doesn't."""
    spool = opened(Retention())
    spool.commit([alert(0), alert(1)], Commit(2, 0, ()))
    spool.advance("store", Cursor(2))
    spool.advance("splunk", Cursor(1))
    clock.advance(47 * HOUR)
    assert spool.trim() == Trimmed(0, 0)

    clock.advance(2 * HOUR)
    assert spool.trim() == Trimmed(0, 1)
    assert [entry.id for entry in spool.poll_alerts(0, 10)] == ["1"]
    assert spool.alert_bounds() == (1, 2)

    spool.forget("splunk")
    assert spool.trim() == Trimmed(0, 1)
    assert spool.alert_bounds() == (2, 2)


def test_at_its_limit_the_spike_log_refuses_and_says_who_holds_it(opened: Opener, clock: FakeClock) -> None:
    """Nothing of the append is kept, the message names the reason, and there is room again once it is gone."""
    spool = opened(Retention(max_bytes=100))
    spool.append([b"x" * 60])
    with pytest.raises(
        LogFull, match="spike log is at its limit of 100 bytes and the spikes stage has never run: nothing was appended"
    ):
        spool.append([b"y" * 30, b"z" * 30])
    assert spool.bounds() == (0, 1)

    spool.append([b"y" * 40])
    spool.commit([], Commit(1, spool.last_append_ns(), ()))
    clock.advance(3 * HOUR)
    with pytest.raises(LogFull, match="the spikes stage is 3 h 0 min behind"):
        spool.append([b"z"])

    spool.commit([], Commit(2, spool.last_append_ns(), ()))
    with pytest.raises(LogFull, match="the look-back of 30 min needs what is there"):
        spool.append([b"z"])

    spool.commit([], Commit(2, clock(), ()))
    assert spool.append([b"z"]) == 2
    assert spool.bounds() == (1, 3)  # the oldest made room, the limit asked for no more


def test_drop_oldest_takes_what_is_needed_and_counts_it(opened: Opener) -> None:
    """Chosen explicitly, the newest records win over those that nobody has read yet."""
    spool = opened(Retention(max_bytes=100, on_full="drop_oldest"))
    for number in range(12):
        spool.append([bytes([number]) * 10])

    assert spool.bounds() == (2, 12)
    assert spool.held().spikes_dropped == 2
    with pytest.raises(LogFull):
        spool.append([b"x" * 101])
    assert spool.bounds() == (2, 12)


def test_at_its_limit_the_alert_log_refuses_and_names_the_reader(opened: Opener, clock: FakeClock) -> None:
    """Neither the alerts nor the position of a refused commit are kept."""
    spool = opened(Retention(alert_max_bytes=100))
    spool.commit([alert(0, 60)], Commit(1, 0, ()))
    spool.advance("splunk", Cursor(0))
    clock.advance(3 * HOUR)
    with pytest.raises(LogFull, match="limit of 100 bytes and reader splunk is 3 h 0 min behind: nothing was appended"):
        spool.commit([alert(1, 60)], Commit(2, 0, ()))
    assert spool.committed() == Commit(1, 0, ())

    spool.advance("splunk", Cursor(1))
    with pytest.raises(LogFull, match="and it must keep 48 h: nothing was appended"):
        spool.commit([alert(1, 60)], Commit(2, 0, ()))

    clock.advance(48 * HOUR)
    spool.commit([alert(1, 60)], Commit(2, 0, ()))
    assert [entry.id for entry in spool.poll_alerts(0, 10)] == ["1"]


def test_with_drop_oldest_a_sink_that_is_away_loses_alerts_and_they_are_counted(opened: Opener) -> None:
    """The choice holds for the alert log too: detection goes on."""
    spool = opened(Retention(alert_max_bytes=100, on_full="drop_oldest"))
    spool.advance("splunk", Cursor(0))
    for number in range(4):
        spool.commit([alert(number, 40)], Commit(number, 0, ()))

    assert [entry.id for entry in spool.poll_alerts(0, 10)] == ["2", "3"]
    assert spool.held().alerts_dropped == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"alert_age_ns": HOUR}, "at least 48 h, found 1 h"), ({"age_ns": MINUTE * 15}, "look-back, 0.5 h, found 0.25 h")],
)
def test_a_retention_that_would_lose_alerts_is_refused(settings: dict[str, int], message: str) -> None:
    """Less than two days of alerts, or less spikes than the look-back, is no choice."""
    with pytest.raises(ValueError, match=message):
        Retention(**settings)  # type: ignore[arg-type]


def test_appends_are_refused_before_the_disk_is_full(opened: Opener) -> None:
    """The spool leaves room on the disk for its own work, above all for committing alerts."""
    spool = opened(Retention(min_free_bytes=1 << 60))
    with pytest.raises(LogFull, match=r"the disk has less than [0-9,]+ bytes free, which the spool keeps for its own work"):
        spool.append([b"x"])
    spool.commit([alert(0)], Commit(0, 0, ()))


FILL = """
import sys
from spikebridge.alerts import AlertEntry
from spikebridge.errors import LogFull
from spikebridge.logs import Commit
from spikebridge.logs.spool import Retention, Spool

spool = Spool(sys.argv[1], Retention(min_free_bytes=0))
acknowledged = 0
try:
    while acknowledged < 10_000:
        spool.append([acknowledged.to_bytes(8, "big") * 500])
        acknowledged += 1
except LogFull as error:
    assert "the disk takes no more" in str(error), error
else:
    raise AssertionError("the disk never was full")

def intact():
    return [record.value for record in spool.poll(0, 1 << 30)] == [n.to_bytes(8, "big") * 500 for n in range(acknowledged)]

assert acknowledged > 20 and intact()
{make_room}
spool.append([acknowledged.to_bytes(8, "big") * 500])
acknowledged += 1
assert intact()
spool.close()
spool = Spool(sys.argv[1])
assert intact()
"""

WITH_A_LIMIT = """
import resource
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
"""


def test_a_disk_that_takes_no_more_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """The kernel refuses a write in the middle: it is reported, all appends before it stay, and with room it goes on."""
    program = WITH_A_LIMIT + FILL.format(make_room="resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))")

    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)


def own_mounts() -> bool:
    """Tell whether this machine lets us mount a small disk of our own, as root or in a user namespace."""
    return subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode == 0  # noqa: S607 -- found on PATH


@pytest.mark.skipif(not own_mounts(), reason="needs a mount of its own: root, or user namespaces")
def test_a_really_full_disk_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """The same on a file system of 1 MB that another file fills up, and leaves again."""
    ballast = tmp_path / "ballast"
    program = FILL.format(make_room=f"import os; os.unlink({str(ballast)!r})")
    script = 'mount -t tmpfs -o size=1m tmpfs "$1" && head -c 400000 /dev/zero > "$1/ballast" && exec "$2" -c "$3" "$1"'

    subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", tmp_path, sys.executable, program], check=True, timeout=60)  # noqa: S607 -- as above


def test_a_full_spike_log_has_room_again_once_ticks_let_what_it_holds_grow_old(opened: Opener, clock: FakeClock) -> None:
    """Ticks pass the limit: without them no time would pass in a full log, and it would stay full for ever."""
    spool = opened(Retention(max_bytes=10_000, min_free_bytes=0))
    spool.append([b"x" * 9_990])
    with pytest.raises(LogFull):
        spool.append([b"x" * 100])

    for _ in range(31):
        clock.advance(MINUTE)
        position = spool.append([encode_tick(clock())]) + 1
        spool.commit([], Commit(position, spool.last_append_ns(), ((0, 1),)))

    spool.append([b"x" * 100])
