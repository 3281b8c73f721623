"""
Files to a rule set: read, validated, joined, checked; refused whole with every problem at once.

`load` reads files, `load_sources` is pure.
Problems that make a rule set impossible raise `ContentError`; what is only suspicious is a warning beside the result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from spikebridge.alerts import DeviceInfo
from spikebridge.detect.served import longest_memory_ns
from spikebridge.errors import ContentError, Problem
from spikebridge.limits import MODELS_VERSION, PLAIN_VERSION, Limits
from spikebridge.located import INVENTORY_BOUNDS, read_yaml
from spikebridge.mapping.drafts import Drafts
from spikebridge.mapping.model import InventoryFile, MappingFile
from spikebridge.mapping.rules import Device, DeviceClass, RuleSet
from spikebridge.spikes.names import device_id_fault
from spikebridge.validation import closest, validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from spikebridge.detect.file import ModelFile
    from spikebridge.located import Document, Place
    from spikebridge.mapping.model import TestModel
    from spikebridge.mapping.normal import Draft

_SUFFIXES = (".yaml", ".yml")


class Source(NamedTuple):
    """One file's name, as findings show it, and its bytes."""

    file: str
    content: bytes | str


@dataclass(frozen=True, slots=True)
class Case:
    """A test of a file: it looks at the findings of the rules of that file only."""

    model: TestModel
    document: Document
    path: tuple[str | int, ...]
    rules: frozenset[str]

    def problem(self, message: str, path: tuple[str | int, ...] = ()) -> Problem:
        """Make a finding about this test, or about a part of it."""
        return self.document.problem((*self.path, *path), message)


@dataclass(slots=True)
class Loaded:
    """A rule set and what is known about where it comes from."""

    rule_set: RuleSet
    warnings: list[Problem] = field(default_factory=list)
    tests: list[Case] = field(default_factory=list)
    positions: dict[str, Place] = field(default_factory=dict)
    drafts: list[Draft] = field(default_factory=list)


def load(
    paths: Sequence[Path],
    inventory_path: Path | None = None,
    limits: Limits = Limits(),  # noqa: B008 -- immutable
    models: Sequence[ModelFile] = (),
) -> Loaded:
    """Load mapping files, or all of them in directories, and an inventory, for models that were verified."""
    problems: list[Problem] = []
    sources = [source for path in files_of(paths, problems) if (source := read_source(path, problems))]
    inventory = read_source(inventory_path, problems) if inventory_path else None
    if problems:
        raise ContentError(problems)
    return load_sources(sources, inventory, limits, models)


def files_of(paths: Iterable[Path], problems: list[Problem]) -> list[Path]:
    """Return the YAML files that these paths mean, each once, sorted; hidden ones are left out."""
    found: dict[Path, None] = {}
    for path in sorted(paths):
        if not path.is_dir():
            found[path] = None
            continue
        inside = sorted(
            file
            for file in path.rglob("*")
            if file.suffix in _SUFFIXES
            and file.is_file()
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        if not inside:
            problems.append(Problem(str(path), 1, 1, "", "expected YAML files in this directory, found none"))
        found |= dict.fromkeys(inside)
    return list(found)


def read_source(path: Path, problems: list[Problem]) -> Source | None:
    """Read a file; one that can't be read is a problem like any other."""
    try:
        with path.open("rb") as file:
            return Source(str(path), file.read(INVENTORY_BOUNDS.size + 1))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        problems.append(Problem(str(path), 1, 1, "", f"can't be read: {reason}"))
        return None


def load_sources(
    sources: Sequence[Source],
    inventory: Source | None = None,
    limits: Limits = Limits(),  # noqa: B008 -- immutable
    models: Sequence[ModelFile] = (),
) -> Loaded:
    """Make a rule set of mapping files, an inventory and models that were verified."""
    problems: list[Problem] = []
    warnings: list[Problem] = []
    drafts = Drafts(limits, longest_memory_ns(models))
    files: list[tuple[Document, MappingFile]] = []
    for source in sources:
        document, model = _validated(source, problems)
        if document and model:
            files.append((document, model))
            drafts.add(document, model)
    devices, classes = _inventory(inventory, problems, warnings)
    rules, incidents = drafts.finish(complete=len(files) == len(sources))
    problems += drafts.problems
    if problems:
        raise ContentError(problems)
    warnings += drafts.warnings
    rule_set = RuleSet(
        rules_version=MODELS_VERSION if models else PLAIN_VERSION,
        limits=limits,
        rules=rules,
        incidents=incidents,
        devices=devices,
        classes=classes,
        models=[*models] or msgspec.UNSET,
    )
    if inventory:
        warnings += _unknown_selectors(drafts.drafts, rule_set)
    warnings += _idle_models(rule_set)
    return Loaded(
        rule_set=rule_set,
        warnings=sorted(warnings),
        tests=[case for document, model in files for case in _cases(document, model, drafts.drafts)],
        positions={draft.id: draft.place for draft in drafts.drafts},
        drafts=drafts.drafts,
    )


def _validated(source: Source, problems: list[Problem]) -> tuple[Document | None, MappingFile | None]:
    try:
        document = read_yaml(source.content, source.file)
    except ContentError as error:
        problems += error.problems
        return None, None
    keys = set(document.root.entries or {})
    if keys & {"classes", "devices"} and not keys & {"mappings", "correlations", "tests"}:
        problems.append(document.problem((), "this is an inventory: name it under `inventory`, not among the mappings"))
        return document, None
    if _is_empty(document, problems):
        return document, None
    model, found = validate(MappingFile, document)
    problems += found
    return document, model


def _is_empty(document: Document, problems: list[Problem]) -> bool:
    """Refuse a file of nothing or of comments: an editor or a full disk cut it short, and what it held must stay in force."""
    root = document.root
    if root.entries is not None or root.items is not None or root.value is not None:
        return False
    problems.append(
        document.problem((), "the file is empty; if nothing is meant, write `mappings: []` (`devices: []` in an inventory)")
    )
    return True


def _cases(document: Document, model: MappingFile, drafts: list[Draft]) -> list[Case]:
    own = frozenset(draft.id for draft in drafts if draft.document is document)
    return [Case(test, document, ("tests", at), own) for at, test in enumerate(model.tests)]


def _inventory(source: Source | None, problems: list[Problem], warnings: list[Problem]) -> tuple[list[Device], list[DeviceClass]]:
    if source is None:
        return [], []
    try:
        document = read_yaml(source.content, source.file, INVENTORY_BOUNDS)
    except ContentError as error:
        problems += error.problems
        return [], []
    if _is_empty(document, problems):
        return [], []
    model, found = validate(InventoryFile, document)
    problems += found
    if model is None:
        return [], []
    devices: dict[str, Device] = {}
    for at, device in enumerate(model.devices):
        path = ("devices", at, "id")
        if fault := device_id_fault(device.id.encode()):
            problems.append(document.problem(path, fault.removeprefix("device id: ")))
        elif device.id in devices:
            problems.append(document.problem(path, f'a device "{device.id}" is already in this inventory'))
        if device.class_ and device.class_ not in model.classes:
            known = closest(device.class_, model.classes)
            message = f'the class "{device.class_}" is not under `classes`{known}'
            warnings.append(document.problem(("devices", at, "class"), message, level="warning"))
        info = DeviceInfo(
            id=device.id,
            device_class=device.class_,
            site=device.site,
            addresses=device.addresses,
            owner=device.owner,
            known=True,
        )
        devices[device.id] = Device(info=info, talks_to=sorted(set(device.talks_to)))
    classes = [DeviceClass(name=name, layers=one.layers) for name, one in sorted(model.classes.items())]
    return [devices[name] for name in sorted(devices)], classes


def _idle_models(rule_set: RuleSet) -> list[Problem]:
    """Warn of models that serve no device: their class is the inventory's to say."""
    classes = {device.info.device_class for device in rule_set.devices}
    return [
        Problem(
            f"{model.name}.spike",
            1,
            1,
            "",
            f"reads nothing: no device of the inventory has a class that it serves ({', '.join(model.classes)})",
            "warning",
        )
        for model in rule_set.model_files
        if not classes & set(model.classes)
    ]


def _unknown_selectors(drafts: list[Draft], rule_set: RuleSet) -> list[Problem]:
    """Warn of classes, sites and ids that the inventory doesn't know: the rule would never match."""
    infos = [device.info for device in rule_set.devices]
    known = {
        "class": {info.device_class for info in infos} | {one.name for one in rule_set.classes},
        "site": {info.site for info in infos},
    }
    warnings = []
    for draft in drafts:
        for key, models in (("devices", draft.own("devices")), ("except", draft.own("except_"))):
            for at, model in enumerate(models or []):
                for name, value in (("class", model.class_), ("site", model.site)):
                    if value and value not in known[name]:
                        message = f'no device of the inventory has the {name} "{value}"{closest(value, known[name])}'
                        warnings.append(draft.document.problem((*draft.path, key, at, name), message, level="warning"))
                if model.device and not any(fnmatchcase(info.id, model.device) for info in infos):
                    message = f'no device of the inventory is called "{model.device}"{closest(model.device, (i.id for i in infos[:1000]))}'
                    warnings.append(draft.document.problem((*draft.path, key, at, "device"), message, level="warning"))
    return warnings
