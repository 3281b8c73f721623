"""
Ends process groups when the process that started them is gone, however it went: `python keeper.py`, told on stdin.

`+GROUP` puts a group under its care, `-GROUP` lets it go, the end of input (the kernel closes a dead process's pipe) kills all that are left.
Not prctl's parent death signal: that one fires when the *thread* that started a server ends, reaches no grandchild, and is lost on a change of user.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

groups: set[int] = set()
for line in sys.stdin:
    group = int(line[1:])
    if line[0] == "+":
        groups.add(group)
    else:
        groups.discard(group)
for group in groups:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
