"""The contract of sinks over all that the registry names: a new one can't be left out."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic import SecretStr, ValidationError
from tests.contract.sink_contract import Place, SinkContract, settings_of
from tests.live.places import PLACES

from spikebridge import registry
from spikebridge.store import Query, Store
from spikebridge.testing.hec import HecServer, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

KINDS = registry.names("sinks")


@contextmanager
def a_file(directory: Path) -> Iterator[Place]:
    """Write JSON lines in the test's directory."""

    def delivered() -> list[str]:
        return [re.findall(r'"id":"(alert-\d+)"', line)[0] for line in (directory / "out.jsonl").read_text().splitlines()]

    yield Place(settings={"path": "out.jsonl"}, delivered=delivered, blocked=lambda: a_directory(directory / "out.jsonl"))


@contextmanager
def a_store(directory: Path) -> Iterator[Place]:
    """Keep them in the embedded store of the test's directory."""

    def delivered() -> list[str]:
        with Store(directory) as store:
            return [entry.id for entry in store.findings(Query())]

    yield Place(settings={}, delivered=delivered, blocked=lambda: a_directory(directory / "store.db"))


@contextmanager
def a_directory(path: Path) -> Iterator[str]:
    """Let a directory stand where a file should be."""
    path.mkdir()
    yield path.name
    path.rmdir()


@contextmanager
def a_collector(_directory: Path) -> Iterator[Place]:
    """Send to our own HTTP Event Collector on loopback."""
    with HecServer({"a-token": Token(acknowledges=True)}) as server:

        @contextmanager
        def blocked() -> Iterator[str]:
            server.stop()
            yield server.url
            server.start()

        settings = {"endpoints": server.url, "token": SecretStr("a-token")}
        yield Place(settings=settings, delivered=lambda: [*server.counts().elements()], blocked=blocked, exactly_once=False)


LOCAL: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {
    "file": a_file,
    "splunk": a_collector,
    "store": a_store,
}
"""The kinds that work without anything to be started; those with a server are in `tests.live.places`."""


class TestLocal(SinkContract):
    """What needs no server."""

    @pytest.fixture(params=sorted(LOCAL))
    def kind(self, request: pytest.FixtureRequest) -> str:
        """One kind after the other."""
        return str(request.param)

    @pytest.fixture
    def place(self, kind: str, tmp_path: Path) -> Iterator[Place]:
        """Give it the test's directory."""
        with LOCAL[kind](tmp_path) as place:
            yield place


def test_every_sink_is_under_this_contract() -> None:
    """Each kind runs here or, with a server, among the live tests."""
    assert sorted([*LOCAL, *PLACES]) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_it_refuses_settings_that_it_does_not_know(kind: str, tmp_path: Path) -> None:
    """A typo is never ignored."""
    for settings in examples(kind):
        with pytest.raises(ValidationError, match="colour"):
            settings_of(kind, tmp_path, {**settings, "colour": "red"})


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_described_and_the_example_is_valid(kind: str, tmp_path: Path) -> None:
    """The module's docstring shows YAML that works as it is, and each field says what it means."""
    module = importlib.import_module(registry.SINKS[kind].partition(":")[0])
    assert all(field.description for field in module.Settings.model_fields.values())
    for settings in examples(kind):
        settings_of(kind, tmp_path, settings)


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_the_shape_of_its_siblings(kind: str) -> None:
    """
    `Settings`, then the class with `open`, `write` and `close` first, and perhaps a `batch` after them: reading one is reading all.

    Kinds that differ in nothing but a name have the methods in a base.
    """
    module = importlib.import_module(registry.SINKS[kind].partition(":")[0])
    classes = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)]
    assert [node.name for node in classes][:2] == ["Settings", registry.SINKS[kind].partition(":")[2]]
    shaped = next(one for one in registry.load("sinks", kind).__mro__ if "open" in vars(one))
    (written,) = (node for node in ast.parse(inspect.getsource(shaped)).body if isinstance(node, ast.ClassDef))
    methods = [node.name for node in written.body if isinstance(node, ast.FunctionDef)]
    assert methods[:4] == ["__init__", "open", "write", "close"]
    assert all(name.startswith("_") for name in methods[4:] if name != "batch")


def examples(kind: str) -> list[dict[str, Any]]:
    """Return the settings in the docstring of a kind's module, each under a sink of that type."""
    module = importlib.import_module(registry.SINKS[kind].partition(":")[0])
    shown: dict[str, dict[str, Any]] = yaml.safe_load(_EXAMPLE.findall(str(inspect.getdoc(module)))[0])["sinks"]
    assert {settings.pop("type") for settings in shown.values()} == {kind}
    return list(shown.values())


_EXAMPLE = re.compile(r"^::\n((?:\n|    .*\n?)+)", re.MULTILINE)
"""What stands indented under a line of two colons; a docstring may go on after it."""
