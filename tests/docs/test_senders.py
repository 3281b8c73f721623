"""The senders in the manual are run as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spikebridge.spikes.frame import Frame, Head, encode_window, unpack

PAGE = Path(__file__).parents[2] / "connector" / "README.md"
COMPILER = shutil.which("cc")
FRAME_NS = 300 * 10**9

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")


def program(name: str) -> str:
    """Return the program of this name as the manual has it."""
    found = re.search(rf"<!-- program: {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"the manual has no program {name}"
    return found[1]


def output_of(folder: Path, name: str) -> bytes:
    """Run a program of the manual, compiled first if it is in C, and return what it writes."""
    source = folder / name
    source.write_text(program(name), encoding="utf-8")
    command = [sys.executable, str(source)]
    if source.suffix == ".c":
        command = [str(folder / "program")]
        flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]
        subprocess.run([COMPILER or "cc", *flags, "-o", *command, str(source)], check=True, timeout=60)
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


def cut(sent: bytes) -> list[Frame]:
    """Cut what was sent by the frames' lengths."""
    found = []
    while sent:
        size = int.from_bytes(sent[8:12], "little")
        found.append(unpack(sent[:size], FRAME_NS))
        sent = sent[size:]
    return found


@needs_compiler
def test_words_packed_in_c_decode_as_they_are(tmp_path: Path) -> None:
    """Bit t is step t, as in `packed |= 1 << i`."""
    packed = int.from_bytes(output_of(tmp_path, "pack.c"), "little")

    frame = unpack(encode_window(Head(device="chip", start_ns=0, step_ns=1), [42], [[packed]]), FRAME_NS)

    assert frame.times.tolist() == [0, 3, 31]
    assert program("pack.c").count("\n") <= 10


@pytest.mark.parametrize("name", [pytest.param("sender.c", marks=needs_compiler), "sender.py"])
def test_a_sender_of_the_manual_sends_good_frames(name: str, tmp_path: Path) -> None:
    """Device, boot id, rising sequence, layer, times of now and three spikes each."""
    before = time.time_ns()
    frames = cut(output_of(tmp_path, name))
    after = time.time_ns()

    heads = [frame.head for frame in frames]
    assert [head.seq for head in heads] == [0, 1, 2]
    assert len({head.boot for head in heads}) == 1
    assert heads[0].boot
    assert {(head.device, head.layer, head.role, head.step_ns) for head in heads} == {("thermostat-7", 3, 1, 1_000)}
    assert all(before <= head.start_ns <= after for head in heads)
    assert [frame.neurons.tolist() for frame in frames] == [[42, 42, 7]] * 3
    assert [(frame.times - frame.head.start_ns).tolist() for frame in frames] == [[0, 2_000_000, 4_000_000]] * 3
