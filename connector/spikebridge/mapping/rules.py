"""
The normal form of mappings and inventory: what `load.py` makes of YAML, and what a revision *is*.

Everything that decides alerts is in a `RuleSet`: rules, devices, limits and the version of the rules of time. Its canonical JSON is the
revision's content, the SHA-256 of that its digest; comments, line breaks and the order of files don't change it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from spikebridge.alerts import DeviceInfo, RuleInfo
from spikebridge.canonical import canonical_json, sha256
from spikebridge.detect.file import ModelFile
from spikebridge.errors import RevisionError, SchemaError
from spikebridge.limits import PLAIN_VERSION, RULES_VERSION, Limits
from spikebridge.located import printable

MAX_TOLD = 200
"""So much is said of content that is none: what it holds is whoever's."""


class Selector(msgspec.Struct, frozen=True, kw_only=True, rename={"device_class": "class"}):
    """Devices by id or glob, by class, by site; what is given must hold together."""

    device: str = ""
    device_class: str = ""
    site: str = ""


class Exclusion(msgspec.Struct, frozen=True, kw_only=True):
    """Devices that a rule leaves alone, and why; `until_ns` (append time) ends it, 0 never."""

    selector: Selector
    reason: str
    until_ns: int = 0


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """
    Neurons `first` to `last` of a layer ("" is every layer).

    `first` None: the summaries of that layer, and of no other.
    """

    layer: str = ""
    first: int | None = None
    last: int | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of the spikes stage: `event_count` over cells, or `absence`. Empty `devices` means every device."""

    info: RuleInfo
    cells: list[Cell] = []
    devices: list[Selector] = []
    excepted: list[Exclusion] = []

    @property
    def layered(self) -> bool:
        """Whether it depends on how a device class names its layers."""
        return any(cell.layer for cell in self.cells)

    @property
    def matching(self) -> bytes:
        """What must stay equal for a rule to keep its windows over a reload."""
        return canonical_json([self.info.kind, self.info.count, self.info.within_ns, self.cells, self.devices, self.excepted])


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """
    When a correlation holds: at least `gte` distinct values of `field` (value_count).

    `edge` = "unexpected" (temporal types): the last alert must name a peer that is a device which its device isn't expected to talk to.
    """

    gte: int = 1
    field: str = ""
    edge: Literal["", "unexpected"] = ""


class IncidentRule(msgspec.Struct, frozen=True, kw_only=True):
    """
    A rule of the incident stage: `value_count`, `temporal` or `temporal_ordered` over alerts.

    `rules` are ids or globs of rule ids. `group_by` are fields of an alert: device, site, threat, rule, severity, class, peer;
    [] is the whole tenant. `info.within_ns` is the timespan.
    """

    info: RuleInfo
    rules: list[str]
    group_by: list[str] = []
    condition: Condition = Condition()


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One device of the inventory, and the device ids or globs it is expected to talk to."""

    info: DeviceInfo
    talks_to: list[str] = []


class DeviceClass(msgspec.Struct, frozen=True, kw_only=True):
    """What devices of a class have in common: names of their wire layers."""

    name: str
    layers: dict[int, str] = {}


class RuleSet(msgspec.Struct, frozen=True, kw_only=True):
    """
    All that decides alerts. Lists are sorted by id, so that equal content has equal bytes.

    `models` is left out where there are none: such content has the bytes that it had before there were models.
    """

    rules_version: int = PLAIN_VERSION
    limits: Limits = Limits()
    rules: list[Rule] = []
    incidents: list[IncidentRule] = []
    devices: list[Device] = []
    classes: list[DeviceClass] = []
    models: list[ModelFile] | msgspec.UnsetType = msgspec.UNSET

    @property
    def model_files(self) -> list[ModelFile]:
        """Return the models, sorted by name."""
        return self.models or []


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """A rule set under its number in the revisions log."""

    number: int
    digest: str
    rule_set: RuleSet


def rule_set_content(rule_set: RuleSet) -> bytes:
    """Return the revision's content: equal rule sets give equal bytes."""
    return canonical_json(rule_set)


def read_revision(number: int, content: bytes) -> Revision:
    """
    Open a revision's content, or raise `RevisionError` if it is none.

    One that needs newer rules of time than ours is refused with `SchemaError`, whatever else it holds.
    """
    try:
        return _opened(number, content)
    except (ValueError, RecursionError) as error:
        found = f"{len(content):,} bytes that are none: {error}"
        raise RevisionError(f"revision {number}: expected a revision's content, found {printable(found[:MAX_TOLD])}") from None


def known_revision(number: int, content: bytes | None) -> Revision | None:
    """Open a revision that a log may not hold; none where it doesn't, or where its content is none: no instance knows such a number."""
    try:
        return None if content is None else read_revision(number, content)
    except RevisionError:
        return None


def _opened(number: int, content: bytes) -> Revision:
    version = _read_version(content).rules_version
    if version > RULES_VERSION:
        raise SchemaError(
            f"revision {number} needs version {version} of the rules, this Spikebridge knows {RULES_VERSION}: upgrade it"
        )
    return Revision(number=number, digest=sha256(content), rule_set=_read_rule_set(content))


class _Versioned(msgspec.Struct):
    rules_version: int


# Made before there are threads: msgspec learns a type when it is first asked for it, and two threads that ask at once end the process.
_read_version = msgspec.json.Decoder(_Versioned).decode
_read_rule_set = msgspec.json.Decoder(RuleSet).decode
