"""The normal form of revisions, as several stages read it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import spikebridge

TRY = """
import sys
from threading import Barrier, Thread
from spikebridge.mapping.rules import RuleSet, read_revision, rule_set_content
content = rule_set_content(RuleSet())
sys.setswitchinterval(1e-6)
together = Barrier(8)
def read():
    together.wait()
    read_revision(0, content)
threads = [Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_stages_may_read_their_first_revision_at_the_same_moment() -> None:
    """Each begins with one, in a thread of its own, when the service starts: eight processes, and none of them dies."""
    processes = [subprocess.Popen([sys.executable, "-c", TRY], stderr=subprocess.PIPE) for _ in range(8)]
    ended = [process.communicate()[1] or process.returncode for process in processes]
    assert ended == [0] * 8


def test_no_type_is_learned_by_a_thread() -> None:
    """Sinks and stages meet there as well: a decoder is made with its module."""
    modules = Path(spikebridge.__file__).parent.rglob("*.py")
    assert [path for path in modules if re.search(r"\.decode\([^\n]*, type=", path.read_text(encoding="utf-8"))] == []
