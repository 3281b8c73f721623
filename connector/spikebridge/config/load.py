"""The configuration: file, environment, secrets; each sink's settings against the model in its own module."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spikebridge import registry
from spikebridge.config.model import ConfigModel, FilterModel, JournalModel, SpoolModel
from spikebridge.config.overlay import lay_environment, lay_secrets
from spikebridge.errors import ContentError, Problem
from spikebridge.limits import Limits
from spikebridge.located import Document, Node, Place, read_yaml
from spikebridge.validation import closest, validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

    from pydantic import BaseModel

_Kind = Literal["sinks", "logs"]

_MAX_BYTES = (1 << 20) + 1
_TOPIC = ("type", "servers", "topic")
"""What says which topic a sink writes to."""


@dataclass(frozen=True, slots=True)
class Sink:
    """One sink: its name in the configuration, its type in the registry, its own settings."""

    name: str
    type: str
    filter: FilterModel
    settings: BaseModel


@dataclass(frozen=True, slots=True)
class Log:
    """The log that spikes come from, where that isn't the spool: its name in the configuration, its type, its own settings."""

    name: str
    type: str
    settings: BaseModel


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that holds: paths begin at its file, settings are typed, secrets in place."""

    tenant: str
    data: Path
    inventory: Path | None
    mappings: tuple[Path, ...]
    limits: Limits
    spool: SpoolModel
    sinks: dict[str, Sink]
    metrics: tuple[str, int] | None
    log: JournalModel
    source: Log | None = None
    models: tuple[Path, ...] = ()
    model_keys: Path | None = None
    file: Path | None = None
    warnings: list[Problem] = field(default_factory=list)


def load_config(path: Path | None, environ: Mapping[str, str], *, sinks: bool = True) -> Config:
    """
    Load the configuration, or the default one; `ContentError` names every problem at once.

    Without `sinks` there are none in it, and of theirs only the topics are read: who only appends needs no secrets of theirs.
    """
    directory = path.parent if path else Path()
    document = _read(path) if path else Document("(no configuration)", Node(Place("(no configuration)", 1, 1), entries={}))
    overlay = lay_environment(document, environ, [*ConfigModel.model_fields])
    written = [] if sinks else _topics(document, environ, directory)
    problems = [*overlay.problems, *lay_secrets(document, environ, directory)]
    model, found = validate(ConfigModel, document)
    problems += found
    delivered = _sinks(document, directory, problems) if sinks else {}
    source = _source(document, directory, problems)
    if source and model:
        written += [sink.settings for sink in delivered.values()]
        source = _apart(document, source, model.tenant, written, problems)
    if model is None or problems:
        raise ContentError(problems)
    host, _, port = model.metrics.listen.rpartition(":") if model.metrics else ("", "", "")
    return Config(
        tenant=model.tenant,
        data=directory / model.data,
        inventory=directory / model.inventory if model.inventory else None,
        mappings=tuple(directory / one for one in model.mappings) if model.mappings else (shipped_mappings(),),
        limits=Limits(look_back_ns=model.limits.look_back_ns, max_unknown_devices=model.limits.max_unknown_devices),
        spool=model.spool,
        sinks=delivered,
        metrics=(host.strip("[]"), int(port)) if model.metrics else None,
        log=model.log,
        source=source,
        models=tuple(directory / one for one in model.models),
        model_keys=directory / model.model_keys if model.model_keys else None,
        file=path,
        warnings=overlay.warnings,
    )


def shipped_mappings() -> Path:
    """Return the directory of the mappings that ship with the product: inside the package, or in a checkout beside it."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "_builtin" / "mappings"
    return inside if inside.is_dir() else package.parents[1] / "mappings"


def _read(path: Path) -> Document:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ContentError([Problem(str(path), 1, 1, "", f"can't be read: {reason}")]) from None
    return read_yaml(content, str(path))


def _sinks(document: Document, directory: Path, problems: list[Problem]) -> dict[str, Sink]:
    """Validate each sink's settings; a broken sink doesn't hide the problems of its neighbours."""
    node = document.root.child("sinks")
    if node is None:
        document = Document(document.file, Node(document.root.place, entries={"sinks": _default_sinks(document.root.place)}))
        node = document.root.child("sinks")
    sinks: dict[str, Sink] = {}
    for name, entry in (node.entries or {} if node else {}).items():
        kind, settings = _component(document, ("sinks", name), directory, problems)
        model, _ = validate(FilterModel, document, ("sinks", name, "filter")) if entry.child("filter") else (FilterModel(), [])
        if settings is not None and model is not None:
            problems += _shared_path(document, str(name), settings, sinks)
            sinks[str(name)] = Sink(str(name), kind, model, settings)
    return sinks


def _topics(document: Document, environ: Mapping[str, str], directory: Path) -> list[BaseModel]:
    """Take the sinks out of a document, and return what says which topics they write to, of those of which it can be read."""
    node = (document.root.entries or {}).pop("sinks", None)
    parts = {
        name: Node(entry.place, entries={key: entry.entries[key] for key in _TOPIC})
        for name, entry in (node.entries or {} if node else {}).items()
        if entry.entries and all(map(entry.child, _TOPIC))
    }
    own = Document(document.file, Node(document.root.place, entries={"sinks": Node(document.root.place, entries={**parts})}))
    lay_secrets(own, environ, directory)
    found = [_component(own, ("sinks", name), directory, [])[1] for name in parts]
    return [settings for settings in found if settings is not None]


def _source(document: Document, directory: Path, problems: list[Problem]) -> Log | None:
    """Validate the settings of the one log that is configured, if any is."""
    node = document.root.child("logs")
    for name in node.entries or {} if node else {}:
        kind, settings = _component(document, ("logs", name), directory, problems)
        if settings is not None:
            return Log(str(name), kind, settings)
    return None


def _apart(document: Document, source: Log, tenant: str, sinks: Iterable[BaseModel], problems: list[Problem]) -> Log:
    """Keep what the service writes out of what it reads, where a log could hold both."""
    apart = getattr(source.settings, "apart", None)
    try:
        settings = apart(tenant, sinks) if apart else source.settings
    except ValueError as error:
        problems.append(document.problem(("logs", source.name, "topics"), str(error)))
        return source
    return replace(source, settings=settings)


def _component(
    document: Document, path: tuple[_Kind, str | int], directory: Path, problems: list[Problem]
) -> tuple[str, BaseModel | None]:
    """Return the type and the settings of what is configured at a path, None for settings that don't hold."""
    of, name = path
    entry = document.find(path)
    kind = entry.child("type") if entry else None
    if entry is None or kind is None or not isinstance(kind.value, str):
        return "", None
    known = configurable(of)
    if kind.value not in known:
        message = f"expected one of {', '.join(known)}, found {kind.shown()}{closest(kind.value, known)}"
        problems.append(document.problem((*path, "type"), message))
        return kind.value, None
    rest = {key: value for key, value in (entry.entries or {}).items() if key not in ("type", "filter")}
    own = Document(document.file, Node(entry.place, entries=rest, keys=entry.keys))
    settings, found = validate(settings_model(of, kind.value), own, directory=directory)
    problems += [_under(problem, f"{of}.{name}") for problem in found]
    return kind.value, settings


def _shared_path(document: Document, name: str, settings: BaseModel, others: dict[str, Sink]) -> list[Problem]:
    """Refuse two sinks that would write and rotate one file."""
    path = getattr(settings, "path", None)
    shared = [other.name for other in others.values() if path is not None and getattr(other.settings, "path", None) == path]
    return [document.problem(("sinks", name, "path"), f'the sink "{other}" writes there already') for other in shared]


def _default_sinks(place: Place) -> Node:
    return Node(place, entries={"store": Node(place, entries={"type": Node(place, "store")})})


def _under(problem: Problem, where: str) -> Problem:
    inner = f"{where}.{problem.where}" if problem.where else where
    return Problem(problem.file, problem.line, problem.column, inner, problem.message, problem.level)


def configurable(of: _Kind) -> list[str]:
    """Name the sinks, or logs, that a configuration can have: a log without settings needs no configuration."""
    return [name for name in registry.names(of) if hasattr(_module(of, name), "Settings")]


def settings_model(of: _Kind, kind: str) -> type[BaseModel]:
    """Return the settings model of a kind of sink or log, from the module that the registry names."""
    settings: type[BaseModel] = _module(of, kind).Settings
    return settings


def _module(of: _Kind, kind: str) -> ModuleType:
    return import_module(registry.KINDS[of][kind].partition(":")[0])


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration, with the settings of every kind of sink."""
    schema = ConfigModel.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    _describe(schema, definitions, "sinks", "SinkModel")
    _describe(schema, definitions, "logs", "SpikeLogModel")
    return schema


def _describe(schema: dict[str, Any], definitions: dict[str, Any], of: _Kind, model: str) -> None:
    """Put the settings of every kind of sink, or log, in the place of the model that knows only what they share."""
    common = definitions.pop(model)
    choices = []
    for kind in configurable(of):
        own = settings_model(of, kind).model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
        definitions |= own.pop("$defs", {})
        properties = {**common["properties"], "type": {"const": kind}, **own.get("properties", {})}
        name = f"{of.removesuffix('s')}_{kind}"
        definitions[name] = {
            **own,
            "title": kind,
            "properties": properties,
            "required": ["type", *own.get("required", [])],
            "additionalProperties": False,
        }
        choices.append({"$ref": f"#/$defs/{name}"})
    schema["properties"][of]["additionalProperties"] = {"oneOf": choices}
