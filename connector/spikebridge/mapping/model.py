"""
What analysts write: mapping files and the inventory, each key described once.

Validation, JSON Schema and the manual derive from these models; `load.py` makes a `RuleSet` of them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from spikebridge.alerts import Severity
from spikebridge.mapping.fields import (
    MAX_COUNT,
    AlwaysTrue,
    Date,
    DeviceOnly,
    Layer,
    LayerName,
    Neurons,
    OrText,
    Prose,
    RuleId,
    Suppress,
    Technique,
    Text,
    Timespan,
    WireLayer,
)
from spikebridge.validation import Content

_ONLY_GROWS = (
    "refused: what was raised is never taken back, and more spikes or alerts could make this condition false; "
    "write `gte`, and for what does not happen an `absence` rule whose alert takes part"
)


class SelectorModel(Content):
    """Devices by id or glob, by class, by site; what is given must hold together."""

    device: Text = Field("", description="A device id, or a glob such as `thermostat-*`.")
    class_: Text = Field("", alias="class", description="A device class of the inventory.")
    site: Text = Field("", description="A site of the inventory.")

    @model_validator(mode="after")
    def _selects(self) -> SelectorModel:
        if not self.model_fields_set & {"device", "class_", "site"}:
            message = "expected at least one of device, class, site"
            raise ValueError(message)
        return self


class ExclusionModel(SelectorModel):
    """Devices that a rule leaves alone, and why."""

    reason: Text = Field(description="Why: whoever reads the file next year wants to know.")
    until: Date | None = Field(None, description="The last day of the exception, in UTC; without it the exception stays.")


def _as_selector(value: object) -> object:
    return {"device": value} if isinstance(value, str) else value


Selectors = Annotated[list[Annotated[SelectorModel, BeforeValidator(_as_selector), OrText()]], Field(min_length=1)]


class WhenModel(Content):
    """How many spikes, and how close together."""

    count: int = Field(1, ge=1, le=MAX_COUNT, description="Fires at this many spikes.")
    within: Timespan | None = Field(None, description="The spikes lie within this time; needed from a count of 2 on.")

    @model_validator(mode="after")
    def _has_time(self) -> WhenModel:
        if self.count > 1 and self.within is None:
            message = "`within` is required with a count of 2 or more, for example `within: 1s`"
            raise ValueError(message)
        return self


class About(Content):
    """What an alert tells its reader; every key may also stand in `defaults`."""

    severity: Severity | None = Field(None, description="Low, Medium, High or Critical. Required, here or in `defaults`.")
    action: Text = Field("", description="The response that is proposed, for example `Block_IP`.")
    siem_category: Text = Field("", description="The category under which the SIEM files the alert.")
    attack: list[Technique] = Field([], description="MITRE ATT&CK techniques (Enterprise or ICS), for example `T1498.001`.")
    confidence: int | None = Field(None, ge=0, le=100, description="How sure the rule is, 0 to 100.")
    false_positives: list[Prose] = Field([], description="What else may look like this.")
    references: list[Text] = Field([], description="Where to read on: addresses of pages.")
    tags: list[Text] = Field([], description="Free labels, carried into every document.")
    date: Date | None = Field(None, description="When the rule was written; the time of its STIX Indicator.")


class Reaching(About):
    """What rules over spikes share beside that: whom they concern, how often they speak."""

    devices: Selectors | None = Field(
        None, description="Only these devices: ids, globs, or `{device, class, site}`. Default: all."
    )
    except_: list[ExclusionModel] = Field([], alias="except", description="Not these devices, each with a `reason`.")
    suppress: Suppress | None = Field(
        None,
        description="At most one alert per device in each interval of this length (aligned to the epoch). Default 1m, at least 1s.",
    )


class DefaultsModel(Reaching):
    """Keys that every row of this file gets unless it has its own."""

    layer: Layer | None = Field(None, description="The layer of every row in `mappings`.")


class Named(Content):
    """What is a rule's own."""

    id: RuleId | None = Field(None, description="The rule's name in alerts. Default: threat type, layer and neurons as a slug.")
    threat_type: Text = Field(description="What it means, for example `DDoS_Burst`.")
    description: Prose = Field("", description="What happens on the device when this fires, for the analyst.")
    enabled: bool = Field(True, description="`false` switches the rule off and keeps it in the file.")


class RowModel(Named, Reaching):
    """One row: which neuron means which threat."""

    neuron_id: Neurons | None = Field(
        None, description="A neuron, a range (`40-47`) or a list. Without it the row matches summaries of its layer only."
    )
    layer: Layer | None = Field(None, description="A layer by name or wire number. Default: every layer.")
    when: WhenModel | None = Field(None, description="From how many spikes on. Default: one spike.")


class ConditionModel(Content):
    """What conditions share: those that more alerts could make false are refused with the way out."""

    @model_validator(mode="before")
    @classmethod
    def _only_grows(cls, value: object) -> object:
        if isinstance(value, str) or (isinstance(value, dict) and value.keys() & {"lt", "lte", "eq", "neq", "not"}):
            raise ValueError(_ONLY_GROWS)
        if isinstance(value, dict) and "gt" in value:
            message = "write `gte` with the next higher number in place of `gt`"
            raise ValueError(message)
        return value


class CountConditionModel(ConditionModel):
    """When an `event_count` holds."""

    gte: int = Field(ge=1, le=MAX_COUNT, description="At least this many spikes.")


class ValueConditionModel(ConditionModel):
    """When a `value_count` holds."""

    gte: int = Field(ge=2, le=MAX_COUNT, description="At least this many distinct values.")
    field: Literal["device", "site", "threat", "rule", "severity", "class", "peer"] = Field(
        description="The values of this field."
    )


class EdgeConditionModel(ConditionModel):
    """What a `temporal` or `temporal_ordered` asks beyond its alerts."""

    edge: Literal["unexpected"] = Field(
        description="The last alert names a peer that is a device to which its device isn't expected to talk (`talks_to`)."
    )


class CorrelationModel(Named, About):
    """What correlations share."""

    id: RuleId = Field(description="The correlation's name in alerts and incidents.")


class EventCountModel(CorrelationModel, Reaching):
    """Spikes of several rows counted together, by device."""

    type: Literal["event_count"] = Field(description="Counts spikes.")
    rules: list[RuleId] = Field(min_length=1, description="Ids of the rows whose neurons count; their devices must be the same.")
    timespan: Timespan = Field(description="The spikes lie within this time.")
    condition: CountConditionModel = Field(description="How many spikes.")
    group_by: list[DeviceOnly] = Field(
        ["device"], min_length=1, alias="group-by", description="Always the device; wider groups are incidents."
    )
    generate: bool = Field(False, description="Whether the rows also alert by themselves; if not, they only count here.")


class AbsenceModel(CorrelationModel, Reaching):
    """No record of any kind from a device."""

    type: Literal["absence"] = Field(description="Watches for silence.")
    timespan: Timespan = Field(description="Silence of this length.")
    group_by: list[DeviceOnly] = Field(
        ["device"], min_length=1, alias="group-by", description="Always the device; silence of several is an incident."
    )


class IncidentModel(CorrelationModel):
    """What correlations of alerts share."""

    rules: list[Text] = Field(min_length=1, description="Ids of rules, or globs of them.")
    timespan: Timespan = Field(description="The alerts lie within this time.")
    group_by: list[Literal["device", "site", "threat", "rule", "severity", "class", "peer"]] = Field(
        [], alias="group-by", description="Alerts that agree in these fields belong together. Default: the whole tenant."
    )
    generate: AlwaysTrue = Field(True, description="Rules under a correlation of alerts always alert by themselves too.")


class ValueCountModel(IncidentModel):
    """Alerts with several distinct values of a field."""

    type: Literal["value_count"] = Field(description="Counts distinct values.")
    condition: ValueConditionModel = Field(description="How many values, of which field.")


class TemporalModel(IncidentModel):
    """Alerts of every one of the rules, in any order."""

    type: Literal["temporal"] = Field(description="Every rule alerts.")
    condition: EdgeConditionModel | None = Field(None, description="What else must hold.")


class TemporalOrderedModel(IncidentModel):
    """Alerts of every one of the rules, in the order of the list."""

    type: Literal["temporal_ordered"] = Field(description="Every rule alerts, one after the other.")
    condition: EdgeConditionModel | None = Field(None, description="What else must hold.")


Correlation = Annotated[
    EventCountModel | AbsenceModel | ValueCountModel | TemporalModel | TemporalOrderedModel, Field(discriminator="type")
]


class TestDeviceModel(Content):
    """The device of a test, as an inventory would have it."""

    id: Text = Field("test-device", description="Its id.")
    class_: Text = Field("", alias="class", description="Its class.")
    site: Text = Field("", description="Its site.")
    addresses: list[Text] = Field([], description="Its network addresses.")
    talks_to: list[Text] = Field([], description="Device ids or globs to which it is expected to talk.")


def _as_spikes(value: object) -> object:
    """Let a single neuron do without quotes."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class TestSpikesModel(Content):
    """A stretch of a test that belongs to one device; stretches follow each other in time."""

    device: Text = Field("", description="The id of one of the test's devices. Default: the first.")
    spikes: Annotated[Prose, BeforeValidator(_as_spikes)] = Field(description="Segments, as in the test's own `spikes`.")


def _as_stretches(value: object) -> object:
    text = _as_spikes(value)
    return [{"spikes": text}] if isinstance(text, str) else value


def _as_device(value: object) -> object:
    return {"id": value} if isinstance(value, str) else value


TestDevice = Annotated[TestDeviceModel, BeforeValidator(_as_device), OrText()]


class ExpectModel(Content):
    """What a finding must say; what isn't named is free."""

    rule: RuleId | None = Field(None, description="The rule's id.")
    kind: Literal["alert", "incident"] | None = Field(None, description="An alert, or an incident.")
    threat_type: Text | None = Field(None, description="The threat.")
    severity: Severity | None = Field(None, description="The severity.")
    action: Text | None = Field(None, description="The proposed response.")
    siem_category: Text | None = Field(None, description="The category.")
    device: Text | None = Field(None, description="The device's id; of an incident, one of its devices.")
    site: Text | None = Field(None, description="The site.")
    count: int | None = Field(None, ge=0, description="How many spikes counted; of an incident, how many alerts.")


class TestModel(Content):
    """
    One case: these spikes, and exactly these findings of the rules of this file.

    Each finding is expected by an entry of `expect`, and each entry is met by a finding.
    """

    name: Text = Field(description="A sentence: what is promised.")
    spikes: Annotated[list[TestSpikesModel], BeforeValidator(_as_stretches), OrText()] = Field(
        description="Segments separated by `;`, each `[LAYER:]NEURON [xN] [every DURATION] [-> PEER]` or `wait DURATION`; "
        "`LAYER:*` is a summary of a layer. For several devices a list of `{device, spikes}`."
    )
    device: TestDevice | None = Field(None, description="The device that fires: its id, or a mapping.")
    devices: list[TestDevice] = Field([], description="The devices, when there are several.")
    at: Date | None = Field(None, description="The day on which it happens, for exceptions with `until`. Default 2026-01-05.")
    expect: list[ExpectModel] = Field(description="The findings; `[]` is silence.")


class MappingFile(Content):
    """A mapping file."""

    description: Prose = Field("", description="What this file is about.")
    defaults: DefaultsModel = Field(DefaultsModel(), description="Keys that every row gets unless it has its own.")
    mappings: list[RowModel] = Field([], description="Which neuron means which threat. All rows that match fire.")
    correlations: list[Correlation] = Field([], description="Counts over several rows, silence, and incidents over alerts.")
    tests: list[TestModel] = Field([], description="Spikes, and what must come of them; `spikebridge check` runs them.")


class DeviceClassModel(Content):
    """What devices of a class have in common."""

    layers: dict[WireLayer, LayerName] = Field({}, description="Names of wire layers: `3: output_3`.")
    description: Prose = Field("", description="What these devices are.")


class DeviceModel(Content):
    """One device."""

    id: Text = Field(description="The device id as its spikes name it, 1 to 128 bytes.")
    class_: Text = Field("", alias="class", description="Its class.")
    site: Text = Field("", description="Where it stands; incidents are kept by site.")
    addresses: list[Text] = Field([], description="Its network addresses (IP or MAC).")
    owner: Text = Field("", description="Who is responsible for it.")
    talks_to: list[Text] = Field(
        [], description="Device ids or globs to which it is expected to talk; any other is an unexpected edge."
    )


class InventoryFile(Content):
    """The devices that we know. A device that isn't listed here still alerts; it has no class and no site."""

    classes: dict[Text, DeviceClassModel] = Field({}, description="Device classes by name.")
    devices: list[DeviceModel] = Field([], description="The devices.")
