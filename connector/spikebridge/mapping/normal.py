"""From what analysts write to the normal form: one way to write each rule, whatever its file looks like. Pure."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from spikebridge.alerts import RuleInfo
from spikebridge.canonical import canonical_json, sha256
from spikebridge.limits import MINUTE
from spikebridge.mapping.model import (
    AbsenceModel,
    EventCountModel,
    RowModel,
    TemporalModel,
    TemporalOrderedModel,
    ValueCountModel,
)
from spikebridge.mapping.rules import Cell, Condition, Exclusion, IncidentRule, Rule, Selector

if TYPE_CHECKING:
    from spikebridge.alerts import RuleKind
    from spikebridge.located import Document, Path, Place
    from spikebridge.mapping.model import DefaultsModel, ExclusionModel, SelectorModel

IncidentModel = ValueCountModel | TemporalModel | TemporalOrderedModel
Entry = RowModel | EventCountModel | AbsenceModel | IncidentModel

_DAY_NS = 86_400_000_000_000
_LONGEST_ID = 128
_EPOCH = dt.date(1970, 1, 1)


@dataclass(slots=True)
class Draft:
    """One entry of a file on its way to a rule: what was written, with the file's defaults, and where."""

    entry: Entry
    defaults: DefaultsModel
    document: Document
    path: Path
    id: str = ""
    counted_by: set[str] = field(default_factory=set)
    generates: bool = True

    def get(self, name: str) -> Any:
        """Return a key of the entry, or the file's default where the entry doesn't say."""
        if name in self.entry.model_fields_set or name not in type(self.defaults).model_fields:
            return getattr(self.entry, name)
        return getattr(self.defaults, name)

    def own(self, name: str) -> Any:
        """Return a key that the entry itself has, None otherwise."""
        return getattr(self.entry, name) if name in self.entry.model_fields_set else None

    @property
    def place(self) -> Place:
        """Tell where the entry begins."""
        return self.document.place(self.path)

    @property
    def suppress_ns(self) -> int:
        """Tell the length of the intervals in which it speaks once."""
        suppress: int | None = self.get("suppress")
        return MINUTE if suppress is None else suppress


def rule_id(row: RowModel, layer: str | None) -> str:
    """Name a row that has no id: a slug of threat type, layer and neurons."""
    neurons = "_".join(str(first) if first == last else f"{first}-{last}" for first, last in row.neuron_id or [])
    slugs = [_slug(row.threat_type), _slug(layer or ""), neurons]
    text = "-".join(part for part in slugs if part)
    if len(text) <= _LONGEST_ID and slugs[0]:
        return text
    digest = sha256(canonical_json([row.threat_type, layer, row.neuron_id]))[:12]
    return f"{slugs[0][:64] or 'rule'}-{digest}"


def _slug(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")


def cells(row: RowModel, layer: str | None) -> list[Cell]:
    """Return what a row listens to; without neurons that is the layer's summaries."""
    if row.neuron_id is None:
        return [Cell(layer=layer or "")]
    return [Cell(layer=layer or "", first=first, last=last) for first, last in row.neuron_id]


def selectors(models: list[SelectorModel] | None) -> list[Selector]:
    """Sort selectors, each once."""
    found = {_selector(model) for model in models or []}
    return sorted(found, key=_as_tuple)


def exclusions(models: list[ExclusionModel]) -> list[Exclusion]:
    """Sort exceptions, each once."""
    found = {Exclusion(selector=_selector(model), reason=model.reason, until_ns=_end_ns(model.until)) for model in models}
    return sorted(found, key=lambda one: (_as_tuple(one.selector), one.reason, one.until_ns))


def _selector(model: SelectorModel) -> Selector:
    return Selector(device=model.device, device_class=model.class_, site=model.site)


def _as_tuple(selector: Selector) -> tuple[str, str, str]:
    return selector.device, selector.device_class, selector.site


def _end_ns(until: dt.date | None) -> int:
    return ((until - _EPOCH).days + 1) * _DAY_NS if until else 0


def row_rule(draft: Draft, row: RowModel) -> Rule:
    """Make the rule of a row."""
    when = row.when
    count = when.count if when else 1
    within_ns = (when.within or 0) if when and count > 1 else 0
    info = _info(draft, "event_count", count=count, within_ns=within_ns, suppress_ns=draft.suppress_ns)
    return _sealed(
        Rule(
            info=info,
            cells=cells(row, draft.get("layer")),
            devices=selectors(draft.get("devices")),
            excepted=exclusions(draft.get("except_")),
        )
    )


def count_rule(draft: Draft, model: EventCountModel, rows: list[Rule]) -> Rule:
    """Make the rule that counts over the neurons of several rows."""
    count = model.condition.gte
    info = _info(draft, "event_count", count=count, within_ns=model.timespan if count > 1 else 0, suppress_ns=draft.suppress_ns)
    own_devices, own_excepted = "devices" in model.model_fields_set, "except_" in model.model_fields_set
    return _sealed(
        Rule(
            info=info,
            cells=joined([cell for row in rows for cell in row.cells]),
            devices=selectors(model.devices) if own_devices else rows[0].devices,
            excepted=exclusions(model.except_) if own_excepted else rows[0].excepted,
        )
    )


def joined(found: list[Cell]) -> list[Cell]:
    """Sort cells and join those of one layer that touch or overlap: no spike counts twice."""
    result: list[Cell] = []
    for cell in sorted(set(found), key=lambda one: (one.layer, -1 if one.first is None else one.first, one.last or 0)):
        last = result[-1] if result else None
        if last and cell.layer == last.layer and cell.first is not None and last.last is not None and cell.first <= last.last + 1:
            result[-1] = Cell(layer=cell.layer, first=last.first, last=max(last.last, cell.last or 0))
        else:
            result.append(cell)
    return result


def absence_rule(draft: Draft, model: AbsenceModel) -> Rule:
    """Make the rule that watches for silence."""
    info = _info(draft, "absence", within_ns=model.timespan, suppress_ns=draft.suppress_ns)
    return _sealed(Rule(info=info, devices=selectors(draft.get("devices")), excepted=exclusions(draft.get("except_"))))


def incident_rule(draft: Draft, model: IncidentModel) -> IncidentRule:
    """Make the rule over alerts; its intervals are as long as its timespan."""
    condition = Condition()
    if isinstance(model, ValueCountModel):
        condition = Condition(gte=model.condition.gte, field=model.condition.field)
    elif model.condition:
        condition = Condition(edge=model.condition.edge)
    ordered = isinstance(model, TemporalOrderedModel)
    info = _info(draft, model.type, count=condition.gte, within_ns=model.timespan, suppress_ns=model.timespan)
    return _sealed_incident(
        IncidentRule(
            info=info,
            rules=model.rules if ordered else sorted(set(model.rules)),
            group_by=sorted(set(model.group_by)),
            condition=condition,
        )
    )


def _info(draft: Draft, kind: RuleKind, *, within_ns: int, suppress_ns: int, count: int = 1) -> RuleInfo:
    date: dt.date | None = draft.get("date")
    return RuleInfo(
        id=draft.id,
        kind=kind,
        threat=draft.entry.threat_type,
        severity=draft.get("severity"),
        digest="",
        action=draft.get("action"),
        category=draft.get("siem_category"),
        confidence=draft.get("confidence"),
        description=draft.entry.description,
        false_positives=list(draft.get("false_positives")),
        references=list(draft.get("references")),
        tags=sorted(set(draft.get("tags"))),
        attack=sorted(set(draft.get("attack"))),
        date=date.isoformat() if date else "",
        count=count,
        within_ns=within_ns,
        suppress_ns=suppress_ns,
    )


def _sealed(rule: Rule) -> Rule:
    return msgspec.structs.replace(rule, info=msgspec.structs.replace(rule.info, digest=sha256(canonical_json(rule))))


def _sealed_incident(rule: IncidentRule) -> IncidentRule:
    return msgspec.structs.replace(rule, info=msgspec.structs.replace(rule.info, digest=sha256(canonical_json(rule))))
