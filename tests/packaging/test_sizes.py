"""Short is a rule here, and rules without a number are forgotten."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE_LINES, FUNCTION_LINES = 400, 50

LONGER_ON_PURPOSE: dict[str, str] = {}
"""Names of files or of `file:function`, each with its reason."""


def test_files_and_functions_are_short() -> None:
    """A longer one is a question: which two things live here? The answer is a split, or a reason in the list."""
    found: dict[str, int] = {}
    for path in [*ROOT.glob("connector/spikebridge/**/*.py"), *ROOT.glob("detectors/spikebridge_detectors/**/*.py")]:
        text, name = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
        found[name] = text.count("\n") - FILE_LINES
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                found[f"{name}:{node.name}"] = (node.end_lineno or 0) - node.lineno + 1 - FUNCTION_LINES

    too_long = {name: lines for name, lines in found.items() if lines > 0}
    assert too_long.keys() == LONGER_ON_PURPOSE.keys(), too_long
