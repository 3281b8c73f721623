"""
Empty libraries in place of CUDA's, so that a torch from the package index runs on a processor without 4 GB that it never calls.

The index has no torch for Linux without CUDA. Whatever is called in one of these returns an error, and torch finds no graphics card.
For tests alone: who trains installs torch as its makers say.
"""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NAMES = re.compile(r"(cu|nv|nccl)[A-Za-z]")


def made(site: Path) -> list[str]:
    """Make those that the torch in a directory of packages asks for and this machine hasn't; return their names."""
    libraries = [*sorted((site / "torch/lib").glob("*.so*")), *sorted((site / "torch").glob("_C*.so"))]
    there = {path.name for path in libraries} | set(re.findall(r"^\t(\S+) \(", _told("/sbin/ldconfig", "-p"), re.MULTILINE))
    wanted: set[str] = set()
    from_file: dict[str, str] = {}
    versioned: dict[str, set[str]] = defaultdict(set)
    plain: set[str] = set()
    for path in libraries:
        wanted |= set(re.findall(r"NEEDED.*\[(.*)\]", _told("readelf", "-dW", path)))
        from_file |= _versions(_told("readelf", "-VW", path))
        for name in re.findall(r" UND (\S+)", _told("readelf", "--dyn-syms", "-W", path)):
            symbol, *version = re.split("@+", name)
            if version:
                versioned[version[0]].add(symbol)
            elif NAMES.match(symbol):
                plain.add(symbol)
    missing = sorted(wanted - there)
    target = site / "nvidia/cu13/lib"  # where the package looks
    target.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(missing):
        versions = {one: versioned[one] for one, file in from_file.items() if file == name}
        _library(target / name, versions, plain if number == 0 else set())
    return missing


def _versions(text: str) -> dict[str, str]:
    """Return which library each version of symbols comes from."""
    found: dict[str, str] = {}
    file = None
    for line in text.splitlines():
        if begun := re.search(r"Version: 1\s+File: (\S+)", line):
            file = begun[1]
        elif (named := re.search(r"Name: (\S+)", line)) and file and "Rev" not in line:
            found[named[1]] = file
    return found


def _library(path: Path, versions: dict[str, set[str]], plain: set[str]) -> None:
    symbols = sorted(plain.union(*versions.values()))
    source, script = path.with_suffix(path.suffix + ".c"), path.with_suffix(path.suffix + ".map")
    source.write_text("".join(f"int {name}(void) {{ return 100; }}\n" for name in symbols), encoding="utf-8")
    script.write_text("".join(f"{name} {{ global: {'; '.join(sorted(own))}; }};\n" for name, own in versions.items() if own))
    command = ["gcc", "-O1", "-shared", "-fPIC", "-o", str(path), f"-Wl,-soname,{path.name}", str(source)]
    subprocess.run([*command, *([f"-Wl,--version-script={script}"] if versions else [])], check=True, capture_output=True)
    source.unlink()
    script.unlink()


def _told(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
