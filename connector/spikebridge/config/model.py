"""What operators write in the configuration, each key described once."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from spikebridge.limits import MINUTE, Limits
from spikebridge.units import format_duration
from spikebridge.validation import Content, Duration, OneOrMore, Size

_HOUR = 60 * MINUTE
_MAX_PORT = 65_535
_SHORTEST_SUPPRESS_NS = MINUTE


def _look_back(value: int) -> int:
    least = value - Limits(look_back_ns=value).longest_memory_ns + 2 * _SHORTEST_SUPPRESS_NS
    if value < least:
        message = f"expected {format_duration(least)} or more: late and future limits, gaps and a suppression of 1m must fit"
        raise ValueError(message)
    return value


def _listen(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not host or not colon or not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
        message = "expected HOST:PORT, for example 127.0.0.1:9464"
        raise ValueError(message)
    return value


def _path(value: str) -> str:
    if not value or not value.isprintable():
        message = "expected a path"
        raise ValueError(message)
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9_-]{1,32}", value):
        message = "expected a name of a-z, 0-9, `_` and `-`, at most 32 letters"
        raise ValueError(message)
    return value


def _tenant(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,32}", value):
        message = "expected a name of a-z, 0-9 and `_`, at most 32 letters"
        raise ValueError(message)
    return value


PathText = Annotated[str, AfterValidator(_path)]
Sites = OneOrMore[str]
Kinds = OneOrMore[Literal["alert", "incident"]]


class LimitsModel(Content):
    """Limits that decide which alerts exist; they are part of every revision."""

    look_back_ns: Annotated[Duration, AfterValidator(_look_back)] = Field(
        Limits().look_back_ns, alias="look_back", description="How much of the spike log a restart reads again. Default 30m."
    )
    max_unknown_devices: int = Field(
        Limits().max_unknown_devices,
        ge=0,
        le=100_000_000,
        description="So many device ids outside the inventory count in each minute; more are refused and raised as one alert.",
    )


class SpoolModel(Content):
    """What the spool keeps."""

    age_ns: Duration = Field(24 * _HOUR, alias="age", description="How long spikes are kept. Default 24h.")
    max_bytes: Size = Field(8_000_000_000, alias="size", description="How many bytes of spikes are kept. Default 8GB.")
    alert_age_ns: Duration = Field(
        7 * 24 * _HOUR, alias="alert_age", description="How long alerts are kept, at least 48h. Default 7d."
    )
    alert_max_bytes: Size = Field(
        2_000_000_000, alias="alert_size", description="How many bytes of alerts are kept. Default 2GB."
    )
    on_full: Literal["refuse", "drop_oldest"] = Field(
        "refuse",
        description="At the limit: `refuse` appends and say so, or `drop_oldest` (what was dropped is raised as a gap).",
    )


class FilterModel(Content):
    """Which findings a sink gets; what isn't named is free."""

    severity: Literal["Low", "Medium", "High", "Critical"] | None = Field(None, description="This severity or a higher one.")
    site: Sites = Field([], description="These sites: a name, a glob, or a list of them.")
    kind: Kinds = Field([], description="These kinds: alert, incident.")


class SinkModel(Content, extra="allow"):
    """One sink: its type, an optional filter, and the settings of that type."""

    type: str = Field(description="What kind of sink this is; `spikebridge list sinks` names them.")
    filter: FilterModel = Field(FilterModel(), description="Which findings it gets. Default: all.")


class SpikeLogModel(Content, extra="allow"):
    """One log of spikes: its type, and the settings of that type."""

    type: str = Field(description="What kind of log this is; `spikebridge list logs` names them.")


class MetricsModel(Content):
    """Prometheus metrics, /livez and /readyz."""

    listen: Annotated[str, AfterValidator(_listen)] = Field(description="HOST:PORT, for example `127.0.0.1:9464`.")


class JournalModel(Content):
    """The service's own log, on stderr."""

    format: Literal["auto", "text", "json"] = Field("auto", description="`auto` is text on a terminal, ECS JSON otherwise.")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="From which level on.")


class ConfigModel(Content):
    """The configuration of one instance."""

    tenant: Annotated[str, AfterValidator(_tenant)] = Field(
        "default", description="The name of whose alerts these are; part of every alert's id, so decide once. a-z, 0-9 and `_`."
    )
    data: PathText = Field("data", description="The directory of spool and store.")
    inventory: PathText | None = Field(None, description="The inventory file: devices, classes, sites.")
    mappings: list[PathText] | None = Field(
        None, min_length=1, description="Mapping files, or directories of them. Default: the mappings that ship with Spikebridge."
    )
    models: list[PathText] = Field(
        [],
        max_length=64,
        description="Model files `.spike`, or patterns such as `models/*.spike`: the networks that read raw sensor spikes. Default: none.",
    )
    model_keys: PathText | None = Field(
        None, description="The directory of the public keys `*.pub` whose models are run. Default: only models that ship."
    )
    limits: LimitsModel = Field(LimitsModel(), description="Limits that decide which alerts exist.")
    spool: SpoolModel = Field(SpoolModel(), description="What the spool keeps, and for how long.")
    logs: dict[Annotated[str, AfterValidator(_name)], SpikeLogModel] = Field(
        {},
        max_length=1,
        description="Where spikes come from, by a name of your choice; one. Default: the spool of the data directory.",
    )
    sinks: dict[Annotated[str, AfterValidator(_name)], SinkModel] = Field(
        {"store": SinkModel(type="store")}, description="Where alerts go, by a name of your choice. Default: the embedded store."
    )
    metrics: MetricsModel | None = Field(None, description="Where metrics and health are served. Default: nowhere.")
    log: JournalModel = Field(JournalModel(), description="The service's own log.")

    @model_validator(mode="after")
    def _keeps_enough(self) -> ConfigModel:
        if self.spool.age_ns < self.limits.look_back_ns:
            message = (
                f"spool.age {format_duration(self.spool.age_ns)} is shorter than "
                f"limits.look_back {format_duration(self.limits.look_back_ns)}: a restart could not read back far enough"
            )
            raise ValueError(message)
        if self.spool.alert_age_ns < 48 * _HOUR:
            message = f"spool.alert_age: expected 48h or more, found {format_duration(self.spool.alert_age_ns)}"
            raise ValueError(message)
        return self
