"""What a careful reader says about mappings that load: cost, overlap, rows that can't match, tests that fail or are missing. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from spikebridge.mapping.model import RowModel
from spikebridge.mapping.normal import cells, exclusions, selectors
from spikebridge.mapping.trial import run_case

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from spikebridge.errors import Problem
    from spikebridge.mapping.load import Loaded
    from spikebridge.mapping.normal import Draft
    from spikebridge.mapping.rules import DeviceClass, Rule
    from spikebridge.mapping.trial import Correlate


class Cost(NamedTuple):
    """What a rule needs: so much of the log before it, and so many bytes for each device that has an open window."""

    rule: str
    kind: str
    memory_ns: int
    bytes_per_device: int


class Report(NamedTuple):
    """The findings (errors among them only where a test failed), the costs, and how many tests ran."""

    problems: list[Problem]
    costs: list[Cost]
    tests: int
    failed: int


def check(loaded: Loaded, correlate: Correlate, techniques: Container[str] | None = None) -> Report:
    """Check what was loaded; `techniques` are the known ATT&CK ids."""
    trials = [run_case(case, loaded.rule_set, correlate) for case in loaded.tests]
    failed = sum(bool(trial.problems) for trial in trials)
    problems = [*loaded.warnings, *(problem for trial in trials for problem in trial.problems)]
    enabled = [draft for draft in loaded.drafts if draft.entry.enabled]
    problems += _overlaps(draft for draft in enabled if draft.generates)
    problems += _unreachable(enabled, loaded.rule_set.classes)
    problems += _untested(enabled, loaded, frozenset().union(*(trial.spoke for trial in trials)))
    if techniques is not None:
        problems += _unknown_techniques(enabled, techniques)
    return Report(sorted(problems), [cost(rule) for rule in loaded.rule_set.rules], len(trials), failed)


def cost(rule: Rule) -> Cost:
    """Tell what a rule needs: a ring of N - 1 times and four words for each open window, one word for a clock of absence."""
    bytes_per_device = 8 * (rule.info.count - 1) + 32 if rule.info.kind == "event_count" else 8
    return Cost(rule.info.id, rule.info.kind, rule.info.within_ns + 2 * rule.info.suppress_ns, bytes_per_device)


def _overlaps(drafts: Iterable[Draft]) -> list[Problem]:
    """Warn of rows of equal reach (devices, exceptions, layer) that share neurons: both fire."""
    groups: dict[object, list[tuple[int, int, Draft]]] = defaultdict(list)
    for draft in drafts:
        if isinstance(draft.entry, RowModel):
            reach = (tuple(selectors(draft.get("devices"))), tuple(exclusions(draft.get("except_"))), draft.get("layer"))
            for cell in cells(draft.entry, draft.get("layer")):
                first = -1 if cell.first is None else cell.first
                groups[reach].append((first, first if cell.last is None else cell.last, draft))
    problems = {}
    for spans in groups.values():
        spans.sort(key=lambda span: span[:2])
        reaching: tuple[int, int, Draft] | None = None
        for span in spans:
            if reaching and span[0] <= reaching[1] and span[2] is not reaching[2]:
                problems[span[2].id, reaching[2].id] = _overlap(span, reaching)
            if reaching is None or span[1] > reaching[1]:
                reaching = span
    return list(problems.values())


def _overlap(span: tuple[int, int, Draft], other: tuple[int, int, Draft]) -> Problem:
    first, last = span[0], min(span[1], other[1])
    shared = "the summaries" if first < 0 else f"neuron {first}" if first == last else f"neurons {first}-{last}"
    place = other[2].place
    message = f'shares {shared} with "{other[2].id}" ({place.file}:{place.line}:{place.column}) for the same devices: both fire'
    key = "layer" if first < 0 else "neuron_id"
    return span[2].document.problem((*span[2].path, key), message, level="warning")


def _unreachable(drafts: Iterable[Draft], classes: list[DeviceClass]) -> list[Problem]:
    """Warn of rows that no spike can reach."""
    names = {one.name: one.layers for one in classes}
    problems = []
    for draft in drafts:
        if not isinstance(draft.entry, RowModel):
            continue
        chosen = selectors(draft.get("devices"))
        excepted = [one.selector for one in exclusions(draft.get("except_")) if not one.until_ns]
        if chosen and all(one in excepted for one in chosen):
            message = "can't match: `except` names all of these devices"
            problems.append(draft.document.problem((*draft.path, "devices"), message, level="warning"))
        layer = draft.get("layer")
        read = [names.get(one.device_class, {}).get(int(layer)) for one in chosen] if layer and layer.isdigit() else []
        if read and all(read):
            message = f'can\'t match: devices of class "{chosen[0].device_class}" call this layer "{read[0]}"'
            problems.append(draft.document.problem((*draft.path, "layer"), message, level="warning"))
    return problems


def _untested(drafts: list[Draft], loaded: Loaded, spoke: frozenset[str]) -> list[Problem]:
    """Warn of rules that no test makes speak, and of files whose tests never expect silence."""
    problems = [
        draft.document.problem(draft.path, f'no test of this file makes "{draft.id}" speak', level="warning")
        for draft in drafts
        if draft.id not in spoke and draft.generates
    ]
    quiet = {case.document.file for case in loaded.tests if not case.model.expect}
    documents = {draft.document.file: draft.document for draft in drafts if draft.document.file not in quiet}
    problems += [
        document.problem((), "no test of this file expects silence (`expect: []`)", level="warning")
        for document in documents.values()
    ]
    return problems


def _unknown_techniques(drafts: Iterable[Draft], techniques: Container[str]) -> list[Problem]:
    return [
        draft.document.problem((*draft.path, "attack", at), f"ATT&CK has no technique {technique} that we know", level="warning")
        for draft in drafts
        for at, technique in enumerate(draft.own("attack") or [])
        if technique not in techniques
    ]
