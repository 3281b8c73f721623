"""
Every component by kind and name, loaded when it is asked for.

One line here is all that a new component needs besides its own module: `list`, the manual and the contract tests walk these tables.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from typing import Any, Literal

from spikebridge.errors import SpikebridgeError

Kind = Literal["logs", "sinks", "formats"]

LOGS = {
    "kafka": "spikebridge.logs.kafka",
    "recording": "spikebridge.logs.recording:Recording",
    "spool": "spikebridge.logs.spool:Spool",
}

SINKS = {
    "elasticsearch": "spikebridge.sinks.elasticsearch:ElasticsearchSink",
    "file": "spikebridge.sinks.file:FileSink",
    "kafka": "spikebridge.sinks.kafka:KafkaSink",
    "opensearch": "spikebridge.sinks.opensearch:OpenSearchSink",
    "splunk": "spikebridge.sinks.splunk:SplunkSink",
    "store": "spikebridge.sinks.store:StoreSink",
}

FORMATS = {
    "cim": "spikebridge.formats.cim",
    "ecs": "spikebridge.formats.ecs",
    "json": "spikebridge.formats.json",
    "stix": "spikebridge.formats.stix",
}

KINDS: dict[Kind, dict[str, str]] = {"logs": LOGS, "sinks": SINKS, "formats": FORMATS}


def names(kind: Kind) -> list[str]:
    """Return the names of a kind, sorted."""
    return sorted(KINDS[kind])


def load(kind: Kind, name: str) -> Any:
    """Import a component's module and return the class that the table names; a format is its module."""
    table = KINDS[kind]
    if name not in table:
        raise SpikebridgeError(_unknown(kind, name))
    path, _, attribute = table[name].partition(":")
    module = importlib.import_module(path)
    return getattr(module, attribute) if attribute else module


def describe(kind: Kind, name: str) -> str:
    """Return what a component's module says of itself; the first line is a sentence."""
    return inspect.getdoc(inspect.getmodule(load(kind, name))) or ""


def _unknown(kind: Kind, name: str) -> str:
    near = difflib.get_close_matches(name, KINDS[kind], n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return f'{kind}: expected one of {", ".join(names(kind))}, found "{name}"{hint}'
