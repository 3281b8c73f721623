"""Model files to what a revision holds: read, verified, tried; refused whole with every problem at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikebridge.detect.file import ModelFile
from spikebridge.detect.served import alone
from spikebridge.errors import ContentError, Problem
from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.model.container import read
from spikebridge_detectors.model.file import load, opened
from spikebridge_detectors.model.keys import Trust

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from spikebridge_detectors.model.file import Model

MOST_MODELS = 64
_PATTERN = frozenset("*?[")


def paths_of(named: Sequence[Path], problems: list[Problem]) -> list[Path]:
    """Return the files that these paths and patterns mean, each once, sorted."""
    found: dict[Path, None] = {}
    for path in named:
        if not _PATTERN & set(path.name):
            found[path] = None
            continue
        inside = sorted(path.parent.glob(path.name))
        if not inside:
            problems.append(Problem(str(path), 1, 1, "", "expected model files like this, found none"))
        found |= dict.fromkeys(inside)
    if len(found) > MOST_MODELS:
        problems.append(Problem(str(named[0]), 1, 1, "models", f"expected at most {MOST_MODELS} models, found {len(found)}"))
    return sorted(found)[:MOST_MODELS]


def load_models(named: Sequence[Path], keys: Path | None, before: Iterable[ModelFile] = ()) -> list[ModelFile]:
    """
    Load the models that these paths name, sorted by name: each signed by whom we trust, in range, fit for the service, past its self-test.

    `before` are the models of the revision in force: none of them is replaced by an older one. `ContentError` names every problem at once.
    """
    problems: list[Problem] = []
    paths = paths_of(named, problems)
    trust = _trust(keys, problems) if paths else Trust()
    running = {one.name: one for one in before}
    found: dict[str, ModelFile] = {}
    places: dict[tuple[str, str], Path] = {}
    for path in paths:
        try:
            data = read(path)
            model = _admitted(data, trust, running)
        except ModelError as error:
            problems += [Problem(str(path), 1, 1, "", line) for line in str(error).splitlines()]
            continue
        except OSError as error:
            problems.append(Problem(str(path), 1, 1, "", f"can't be read: {error.strerror or error}"))
            continue
        header = model.header
        for kind, name in (("model", header.name), *(("device class", one) for one in header.classes)):
            other = places.setdefault((kind, name), path)
            if other != path:
                problems.append(
                    Problem(str(path), 1, 1, "", f'expected one model for the {kind} "{name}", found another one: {other}')
                )
        found[header.name] = ModelFile(
            name=header.name, version=header.version, digest=model.digest, classes=tuple(sorted(header.classes)), file=data
        )
    if problems:
        raise ContentError(problems)
    return [found[name] for name in sorted(found)]


def verify_models(files: Sequence[ModelFile], keys: Path) -> None:
    """Verify models of a revision that somebody else has published, as if they were files; `ContentError` names every problem at once."""
    problems: list[Problem] = []
    trust = _trust(keys, problems) if files else Trust()
    for one in files:
        try:
            load(one.file, trust, run=alone)
        except ModelError as error:
            problems += [Problem(f"model {one.name}", 1, 1, "", line) for line in str(error).splitlines()]
    if problems:
        raise ContentError(problems)


def _trust(keys: Path | None, problems: list[Problem]) -> Trust:
    """Trust what ships, and whoever signs with a key that the operator has added."""
    if keys is None:
        return Trust()
    try:
        return Trust.in_directory(keys)
    except ModelError as error:
        problems.append(Problem(str(keys), 1, 1, "model_keys", str(error)))
    except OSError as error:
        problems.append(Problem(str(keys), 1, 1, "model_keys", f"can't be read: {error.strerror or error}"))
    return Trust()


def _admitted(data: bytes, trust: Trust, running: dict[str, ModelFile]) -> Model:
    """Verify first; only then is the name known, and what it replaces."""
    model = load(data, trust, run=alone)
    older = running.get(model.header.name)
    return load(data, trust, replaces=opened(older.file), run=alone) if older else model
