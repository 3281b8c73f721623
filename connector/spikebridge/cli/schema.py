"""`spikebridge schema`: what an editor or another program needs to check a file before we do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

NAME = "schema"
HELP = "print the JSON Schema of mappings, inventory, configuration, JSON events or a model's header"
EXAMPLE = """
spikebridge schema mapping > mapping.schema.json
"""

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def configure(parser: argparse.ArgumentParser) -> None:
    """Ask for the kind."""
    parser.add_argument("kind", choices=list(KINDS), help="what the schema describes")


def run(args: argparse.Namespace) -> int:
    """Print the schema, indented."""
    print(render(args.kind), end="")
    return 0


def render(kind: str) -> str:
    """Return the text of a schema, as `spikebridge docs` commits it."""
    return json.dumps({"$schema": DRAFT, **KINDS[kind]()}, indent=2) + "\n"


def _mapping() -> dict[str, Any]:
    from spikebridge.mapping.model import MappingFile

    return MappingFile.model_json_schema()


def _inventory() -> dict[str, Any]:
    from spikebridge.mapping.model import InventoryFile

    return InventoryFile.model_json_schema()


def _config() -> dict[str, Any]:
    from spikebridge.config import config_schema

    return config_schema()


def _event() -> dict[str, Any]:
    from spikebridge.spikes.events import event_schema

    return event_schema()


def _model() -> dict[str, Any]:
    from spikebridge_detectors.model.header import header_schema

    return header_schema()


KINDS = {"mapping": _mapping, "inventory": _inventory, "config": _config, "event": _event, "model": _model}
