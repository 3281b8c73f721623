"""The demonstration's picture: a table that renews itself in a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from spikebridge.cli.terminal import printable
from spikebridge.timestamps import second_text

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TextIO

    from rich.console import Console, RenderableType

    from spikebridge.alerts import Finding
    from spikebridge.demo.play import Moment

STYLES = {"Low": "cyan", "Medium": "yellow", "High": "red", "Critical": "bold white on red"}

_SHORT_ID = 8
_REDRAW_S = 0.1
_HEAD_ROWS = 8
_FEWEST_ROWS = 5
_WIDE = 100
"""From so many columns on it is also said why."""


class View(Protocol):
    """Shows moments, one after the other."""

    def show(self, moment: Moment) -> None:
        """Show one."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End, and leave the last picture behind."""


def view(stream: TextIO, title: str) -> View:
    """Choose by where the output goes."""
    if not stream.isatty():
        return Lines(stream)
    from rich.console import Console

    return Picture(title, Console(file=stream))


class Row(NamedTuple):
    """What a line of either picture says, in letters that can't steer a terminal; the id is as much of it as `explain` needs."""

    id: str
    time: str
    severity: str
    threat: str
    where: str
    why: str


def row(finding: Finding) -> Row:
    """Tell a finding in one line; times are UTC."""
    from spikebridge.alerts import Alert

    where = finding.device.id if isinstance(finding, Alert) else ", ".join(finding.devices)
    threat = finding.rule.threat if isinstance(finding, Alert) else f"{finding.rule.threat} (incident)"
    when = second_text(finding.time_ns // 1_000_000_000).replace("T", " ")
    texts = (printable(text) for text in (threat, where, finding.explanation))
    return Row(printable(finding.id[:_SHORT_ID]), when, finding.rule.severity, *texts)


class Lines:
    """One line for each finding and each thing that happens."""

    def __init__(self, stream: TextIO) -> None:
        """Write to a stream."""
        self._stream = stream

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing is left open."""

    def show(self, moment: Moment) -> None:
        """Write what is new."""
        if moment.note:
            print(f"-- {printable(moment.note)}", file=self._stream)
        for finding in moment.findings:
            told = row(finding)
            print(f"{told.time}  {told.id}  {told.severity:<8}  {told.threat:<33}  {told.where}", file=self._stream)
        self._stream.flush()


class Picture:
    """The newest findings that fit, above them what happens and how much has passed."""

    def __init__(self, title: str, console: Console) -> None:
        """Draw to a terminal."""
        from rich.live import Live

        self._title = title
        self._console = console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._findings: deque[Finding] = deque(maxlen=500)
        self._note = ""
        self._drawn_s = 0.0

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the last picture on the screen."""
        self._live.stop()

    def show(self, moment: Moment) -> None:
        """Draw anew, unless that was done a moment ago and nothing has happened since."""
        self._findings.extend(moment.findings)
        self._note = moment.note or self._note
        now_s = time.monotonic()
        if moment.note or moment.findings or now_s - self._drawn_s > _REDRAW_S:
            self._drawn_s = now_s
            self._live.update(self._draw(moment), refresh=True)

    def _draw(self, moment: Moment) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        worker = f"worker {moment.worker}" if moment.worker else "no worker"
        counts = f"{moment.records:,} records sent, {moment.waiting:,} not committed yet, {worker}"
        table = Table(expand=True, box=None, pad_edge=False, header_style="bold")
        wide = self._console.size.width >= _WIDE
        for name, width in (("id", _SHORT_ID), ("UTC", 8), ("severity", 8), ("threat", 29)):
            table.add_column(name, min_width=width, max_width=width, no_wrap=True, overflow="ellipsis")
        table.add_column("where", ratio=None if wide else 1, max_width=24, no_wrap=True, overflow="ellipsis")
        if wide:
            table.add_column("why", ratio=1, no_wrap=True, overflow="ellipsis")
        rows = max(_FEWEST_ROWS, self._console.size.height - _HEAD_ROWS)
        for finding in list(self._findings)[-rows:]:
            told = row(finding)
            severity = Text(told.severity, STYLES[told.severity])
            texts = [Text(told.id), Text(told.time[-8:]), severity, Text(told.threat), Text(told.where)]
            table.add_row(*texts, *([Text(told.why, "dim")] if wide else []))
        head = [Text(self._title, "bold"), Text(counts, "dim"), Text(f"now: {printable(self._note)}"), Text("")]
        return Group(*head, table)
