"""
The service's own log: text for a person at a terminal, ECS JSON for everything else.

What is logged may hold names that senders chose, so control characters are written as escapes in both shapes.
Secrets are never handed to it.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Literal

import msgspec

from spikebridge.located import printable
from spikebridge.timestamps import rfc3339

if TYPE_CHECKING:
    from typing import TextIO

ECS_VERSION = "9.4.0"

_encode = msgspec.json.Encoder().encode


def start_journal(
    shape: Literal["auto", "text", "json"] = "auto",
    level: Literal["debug", "info", "warning", "error"] = "info",
    stream: TextIO | None = None,
) -> None:
    """Have everything that `spikebridge` logs go to a stream (standard error); a second call replaces the first."""
    out = stream or sys.stderr
    text = shape == "text" or (shape == "auto" and out.isatty())
    handler = logging.StreamHandler(out)
    handler.setFormatter(TextFormatter() if text else EcsFormatter())
    logger = logging.getLogger("spikebridge")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())


class TextFormatter(logging.Formatter):
    """One line: time of day, level, message; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        lines = [f"{clock} {record.levelname.lower():7} {printable(record.getMessage())}", *_trace(self, record)]
        return "\n".join(lines)


class EcsFormatter(logging.Formatter):
    """One JSON document a line, in the names of the Elastic Common Schema."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record."""
        document: dict[str, object] = {
            "@timestamp": rfc3339(int(record.created * 1_000) * 1_000_000),
            "log.level": record.levelname.lower(),
            "message": printable(record.getMessage()),
            "ecs.version": ECS_VERSION,
            "log.logger": record.name,
            "process.thread.name": record.threadName,
        }
        if record.exc_info and record.exc_info[0]:
            document["error.type"] = record.exc_info[0].__name__
            document["error.message"] = printable(str(record.exc_info[1]))
            document["error.stack_trace"] = "\n".join(_trace(self, record))
        return _encode(document).decode()


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    if not record.exc_info or not record.exc_info[0]:
        return []
    return [printable(line) for line in formatter.formatException(record.exc_info).splitlines()]
