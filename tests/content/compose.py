"""docker-compose.yml as an engine reads it: variables filled in, anchors resolved; no engine is asked."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
DIRECTORY = ROOT / "connector/packages/compose"
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\})")


def raw() -> dict[str, Any]:
    """Return the file with its variables as they stand there."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def filled(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the file for an environment; `KeyError` for a variable that must be set and isn't, or is empty."""

    def value(found: re.Match[str]) -> str:
        if found["name"] is None:
            return "$"
        if found["kind"] == "-":
            return environ.get(found["name"]) or found["rest"]
        if not environ.get(found["name"]):
            raise KeyError(found["name"])
        return environ[found["name"]]

    def fill(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: fill(inner) for key, inner in node.items()}
        if isinstance(node, list):
            return [fill(inner) for inner in node]
        return VARIABLE.sub(value, node) if isinstance(node, str) else node

    found: dict[str, Any] = fill(raw())
    return found


def variables() -> Iterator[re.Match[str]]:
    """Yield every variable with what stands behind it."""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if not line.lstrip().startswith("#"):
            yield from (found for found in VARIABLE.finditer(line) if found["name"])


def made_environment(directory: Path) -> dict[str, str]:
    """Run the script that operators run, in a copy of the two directories that it knows, and read what it wrote."""
    place = directory / "connector/packages/compose"
    place.mkdir(parents=True, exist_ok=True)
    script = place / "make-env.sh"
    script.write_bytes((DIRECTORY / "make-env.sh").read_bytes())
    subprocess.run(["/bin/sh", script], check=True, capture_output=True, timeout=30)
    lines = (directory / ".env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)
