"""The tables of components: complete, loadable, explained."""

from __future__ import annotations

import importlib
import pkgutil
from typing import get_args

import pytest

from spikebridge import registry
from spikebridge.errors import SpikebridgeError
from spikebridge.registry import Kind

KINDS: tuple[Kind, ...] = get_args(Kind)
COMPONENTS = [(kind, name) for kind in KINDS for name in registry.names(kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_module_has_an_entry_and_every_entry_a_module(kind: Kind) -> None:
    """A new module can't be forgotten, an entry can't outlive its module."""
    folder = importlib.import_module(f"spikebridge.{kind}")
    modules = {f"spikebridge.{kind}.{module.name}" for module in pkgutil.iter_modules(folder.__path__)}

    assert {entry.partition(":")[0] for entry in registry.KINDS[kind].values()} == modules


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_every_component_loads_and_explains_itself(kind: Kind, name: str) -> None:
    """The name leads to something whose module begins with a sentence for the manual."""
    assert registry.load(kind, name)
    assert registry.describe(kind, name).partition("\n")[0].rstrip(".:") != ""


def test_an_unknown_name_is_told_with_what_was_meant() -> None:
    """The message says what was expected, what was found and what is near."""
    with pytest.raises(SpikebridgeError, match=r'sinks: expected one of .*, found "stroe"; did you mean "store"\?'):
        registry.load("sinks", "stroe")
