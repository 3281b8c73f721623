"""All entries of all mapping files together: ids, references between them, limits; findings with their places."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from spikebridge.mapping.match import CROWD, LOG_CLOCK, LOG_GAP
from spikebridge.mapping.model import AbsenceModel, EventCountModel, RowModel
from spikebridge.mapping.normal import Draft, absence_rule, count_rule, incident_rule, row_rule, rule_id
from spikebridge.units import format_duration
from spikebridge.validation import closest

if TYPE_CHECKING:
    from spikebridge.errors import Problem
    from spikebridge.limits import Limits
    from spikebridge.located import Document
    from spikebridge.mapping.model import MappingFile
    from spikebridge.mapping.normal import IncidentModel
    from spikebridge.mapping.rules import IncidentRule, Rule

HEALTH_RULES = frozenset({LOG_GAP.id, LOG_CLOCK.id, CROWD.id})
"""The rules that are built in: alerts of theirs may take part in incidents, their ids are taken."""

_GLOB = frozenset("*?[")
_LONGEST_INCIDENT_NS = 86_400_000_000_000


class Drafts:
    """Takes files one by one, then makes rules of them."""

    def __init__(self, limits: Limits, models_ns: int = 0) -> None:
        """Begin without files; models remember `models_ns`."""
        self.drafts: list[Draft] = []
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._limits = limits
        self._models_ns = models_ns
        self._by_id: dict[str, Draft] = {}

    def add(self, document: Document, model: MappingFile) -> None:
        """Take the entries of one file."""
        for at, row in enumerate(model.mappings):
            draft = Draft(row, model.defaults, document, ("mappings", at))
            layer = draft.get("layer")
            draft.id = row.id or rule_id(row, layer)
            if row.neuron_id is None and layer is None:
                self._refuse(draft, "neuron_id", "required, unless the row has a `layer` whose summaries it means")
            self._take(draft)
        for at, correlation in enumerate(model.correlations):
            draft = Draft(correlation, model.defaults, document, ("correlations", at))
            draft.id = correlation.id
            self._take(draft)

    def _take(self, draft: Draft) -> None:
        self.drafts.append(draft)
        if draft.get("severity") is None:
            self._refuse(draft, "severity", "required, but missing; it may also stand in `defaults`")
        if draft.id in HEALTH_RULES:
            self._refuse(draft, "id", f'"{draft.id}" is the name of a built-in rule: choose another id')
        other = self._by_id.setdefault(draft.id, draft)
        if other is not draft:
            place = other.place
            advice = "" if draft.entry.id else "; give one of them an `id`"
            self._refuse(draft, "id", f'the id "{draft.id}" is already taken at {place.file}:{place.line}:{place.column}{advice}')

    def finish(self, *, complete: bool) -> tuple[list[Rule], list[IncidentRule]]:
        """Make the rules, sorted by id; references are only checked when every file could be read (`complete`)."""
        enabled = [draft for draft in self.drafts if draft.entry.enabled and draft.get("severity") is not None]
        for draft in enabled:
            self._check_memory(draft)
        rows = {draft.id: row_rule(draft, draft.entry) for draft in enabled if isinstance(draft.entry, RowModel)}
        if not complete or self.problems:
            return [], []
        counts = [self._counting(draft, draft.entry, rows) for draft in enabled if isinstance(draft.entry, EventCountModel)]
        silent = {draft.id for draft in self.drafts if draft.counted_by and not draft.generates}
        rules = [rule for name, rule in rows.items() if name not in silent]
        rules += [rule for rule in counts if rule]
        rules += [absence_rule(draft, draft.entry) for draft in enabled if isinstance(draft.entry, AbsenceModel)]
        speaking = {rule.info.id for rule in rules} | {draft.id for draft in enabled if isinstance(draft.entry, EventCountModel)}
        speaking |= HEALTH_RULES
        incidents = []
        for draft in enabled:
            if not isinstance(draft.entry, (RowModel, EventCountModel, AbsenceModel)):
                self._check_members(draft, draft.entry, speaking)
                incidents.append(incident_rule(draft, draft.entry))
        return sorted(rules, key=lambda rule: rule.info.id), sorted(incidents, key=lambda rule: rule.info.id)

    def _counting(self, draft: Draft, model: EventCountModel, rows: dict[str, Rule]) -> Rule | None:
        counted = []
        for at, name in enumerate(model.rules):
            other = self._by_id.get(name)
            if other is None:
                self._refuse(draft, ("rules", at), f'no row has the id "{name}"{closest(name, rows)}')
            elif not isinstance(other.entry, RowModel):
                self._refuse(draft, ("rules", at), f'"{name}" is a correlation; an event_count counts the spikes of rows')
            elif name not in rows:
                self._warn(draft, ("rules", at), f'"{name}" is switched off and not counted')
            else:
                other.generates = model.generate or (bool(other.counted_by) and other.generates)
                other.counted_by.add(draft.id)
                counted.append(rows[name])
                if not model.generate and other.entry.when:
                    self._warn(
                        other, "when", f'has no effect: "{draft.id}" counts this row\'s spikes, and `generate` is false there'
                    )
        if not counted:
            return None
        for name, own in (("devices", "devices"), ("excepted", "except_")):
            differ = any(getattr(rule, name) != getattr(counted[0], name) for rule in counted)
            if differ and own not in model.model_fields_set:
                key = own.rstrip("_")
                self._refuse(draft, "rules", f"these rows differ in `{key}`: write `{key}` here, for the count")
        return count_rule(draft, model, counted)

    def _check_members(self, draft: Draft, model: IncidentModel, speaking: set[str]) -> None:
        for at, pattern in enumerate(model.rules):
            if any(fnmatchcase(name, pattern) for name in speaking):
                continue
            other = self._by_id.get(pattern)
            if _GLOB & set(pattern):
                self._warn(draft, ("rules", at), f'no rule has an id like "{pattern}"')
            elif other is None:
                self._refuse(draft, ("rules", at), f'no rule has the id "{pattern}"{closest(pattern, speaking)}')
            elif other.counted_by:
                counter = min(other.counted_by)
                message = f'"{pattern}" raises no alerts: "{counter}" counts its spikes; write `generate: true` there, or name "{counter}" here'
                self._refuse(draft, ("rules", at), message)
            elif not other.entry.enabled:
                self._warn(draft, ("rules", at), f'"{pattern}" is switched off: this never matches')
            else:
                self._refuse(draft, ("rules", at), f'"{pattern}" raises incidents; a correlation of alerts is made of alerts')

    def _check_memory(self, draft: Draft) -> None:
        entry = draft.entry
        if isinstance(entry, RowModel):
            key: str | tuple[str, ...] = ("when", "within")
            span_ns = (entry.when.within or 0) if entry.when and entry.when.count > 1 else 0
        else:
            key, span_ns = "timespan", entry.timespan
        if not isinstance(entry, (RowModel, EventCountModel, AbsenceModel)):
            if span_ns > _LONGEST_INCIDENT_NS:
                self._refuse(draft, key, "expected at most 24h: alerts are forgotten a day after they were raised")
            return
        needed_ns, most_ns = span_ns + 2 * draft.suppress_ns, self._limits.longest_memory_ns - self._models_ns
        if needed_ns <= most_ns:
            return
        suppress = format_duration(draft.suppress_ns)
        span = f"{format_duration(span_ns)} + " if span_ns else ""
        beside = (
            f" beside the {format_duration(self._models_ns)} that models remember (a longer `limits.look_back` leaves more)"
            if self._models_ns
            else ""
        )
        message = (
            f"{span}2 x suppress {suppress} needs a memory of {format_duration(needed_ns)}, look_back leaves {format_duration(most_ns)}{beside}; "
            "what is longer is written over the alert log, as an incident: shorten it here and add a correlation "
            f"{{type: temporal, rules: [{draft.id}], group-by: [device], timespan: {_hours(needed_ns)}}}"
        )
        self._refuse(draft, key if span_ns > 2 * draft.suppress_ns else "suppress", message)

    def _refuse(self, draft: Draft, key: str | tuple[str | int, ...], message: str) -> None:
        self.problems.append(draft.document.problem((*draft.path, *((key,) if isinstance(key, str) else key)), message))

    def _warn(self, draft: Draft, key: str | tuple[str | int, ...], message: str) -> None:
        path = (*draft.path, *((key,) if isinstance(key, str) else key))
        self.warnings.append(draft.document.problem(path, message, level="warning"))


def _hours(nanoseconds: int) -> str:
    return f"{min(24, -(-nanoseconds // 3_600_000_000_000))}h"
