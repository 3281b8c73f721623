"""The configuration: file, environment, secrets; each sink's settings against the model in its own module."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikebridge import registry
from spikebridge.config.model import ConfigModel, FilterModel, LogModel, SpoolModel
from spikebridge.config.overlay import lay_environment, lay_secrets
from spikebridge.errors import ContentError, Problem
from spikebridge.limits import Limits
from spikebridge.located import Document, Node, Place, read_yaml
from spikebridge.validation import closest, validate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

_MAX_BYTES = (1 << 20) + 1


@dataclass(frozen=True, slots=True)
class Sink:
    """One sink: its name in the configuration, its type in the registry, its own settings."""

    name: str
    type: str
    filter: FilterModel
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
    log: LogModel
    file: Path | None = None
    warnings: list[Problem] = field(default_factory=list)


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Load the configuration, or the default one; `ContentError` names every problem at once."""
    directory = path.parent if path else Path()
    document = _read(path) if path else Document("(no configuration)", Node(Place("(no configuration)", 1, 1), entries={}))
    overlay = lay_environment(document, environ, [*ConfigModel.model_fields])
    problems = [*overlay.problems, *lay_secrets(document, environ, directory)]
    model, found = validate(ConfigModel, document)
    problems += found
    sinks = _sinks(document, directory, problems)
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
        sinks=sinks,
        metrics=(host.strip("[]"), int(port)) if model.metrics else None,
        log=model.log,
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
        kind = entry.child("type")
        if kind is None or not isinstance(kind.value, str):
            continue
        if kind.value not in registry.SINKS:
            known = registry.names("sinks")
            message = f"expected one of {', '.join(known)}, found {kind.shown()}{closest(kind.value, known)}"
            problems.append(document.problem(("sinks", name, "type"), message))
            continue
        rest = {key: value for key, value in (entry.entries or {}).items() if key not in ("type", "filter")}
        own = Document(document.file, Node(entry.place, entries=rest, keys=entry.keys))
        settings, found = validate(sink_settings(kind.value), own, directory=directory)
        problems += [_under(problem, f"sinks.{name}") for problem in found]
        model, _ = validate(FilterModel, document, ("sinks", name, "filter")) if entry.child("filter") else (FilterModel(), [])
        if settings is not None and model is not None:
            problems += _shared_path(document, str(name), settings, sinks)
            sinks[str(name)] = Sink(str(name), kind.value, model, settings)
    return sinks


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


def sink_settings(kind: str) -> type[BaseModel]:
    """Return the settings model of a kind of sink, from the module that the registry names."""
    settings: type[BaseModel] = import_module(registry.SINKS[kind].partition(":")[0]).Settings
    return settings


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration, with the settings of every kind of sink."""
    schema = ConfigModel.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    common = definitions.pop("SinkModel")
    choices = []
    for kind in registry.names("sinks"):
        own = sink_settings(kind).model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
        definitions |= own.pop("$defs", {})
        properties = {**common["properties"], "type": {"const": kind}, **own.get("properties", {})}
        definitions[f"sink_{kind}"] = {
            **own,
            "title": kind,
            "properties": properties,
            "required": ["type", *own.get("required", [])],
            "additionalProperties": False,
        }
        choices.append({"$ref": f"#/$defs/sink_{kind}"})
    schema["properties"]["sinks"]["additionalProperties"] = {"oneOf": choices}
    return schema
