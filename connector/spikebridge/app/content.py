"""Mappings and inventory: loaded, published as a revision when they differ from the newest, watched while the service runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import watchfiles

from spikebridge import metrics as numbers
from spikebridge.app.readable import ReadableRevisions
from spikebridge.canonical import sha256
from spikebridge.correlate import incidents_of
from spikebridge.detect.load import load_models, paths_of
from spikebridge.errors import ContentError, SchemaError, SpikebridgeError
from spikebridge.mapping.load import files_of, load
from spikebridge.mapping.rules import read_revision, rule_set_content
from spikebridge.mapping.trial import run_case
from spikebridge.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from threading import Event

    from spikebridge.config import Config
    from spikebridge.detect.file import ModelFile
    from spikebridge.errors import Problem
    from spikebridge.logs import Numbered
    from spikebridge.mapping.load import Loaded
    from spikebridge.metrics import Metrics

LOOK_EVERY_MS = 1_000
"""The watcher answers within milliseconds; what it can't see (a directory that was replaced) is looked for this often."""

_SUFFIXES = (".yaml", ".yml", ".spike", ".pub")
_log = logging.getLogger(__name__)

_Print = dict["Path", tuple[int, int, int]]


def load_tested(config: Config, before: Iterable[ModelFile] = ()) -> Loaded:
    """
    Load mappings, inventory and models and run their tests: files that fail their own tests are as wrong as files that can't be read.

    `before` are the models of the revision that this one replaces: none of them goes back.
    """
    problems: list[Problem] = []
    models: list[ModelFile] = []
    try:
        models = load_models(config.models, config.model_keys, before)
    except ContentError as error:
        problems = error.problems
    try:
        loaded = load(config.mappings, config.inventory, config.limits, models)
    except ContentError as error:
        raise ContentError([*problems, *error.problems]) from None
    if problems:
        raise ContentError(problems)
    failed = [problem for case in loaded.tests for problem in run_case(case, loaded.rule_set, incidents_of).problems]
    if failed:
        raise ContentError(failed)
    return loaded


def models_in_force(revisions: Numbered) -> list[ModelFile]:
    """Return the models of the newest good revision, which new ones replace; none where it can't be read here."""
    newest = ReadableRevisions(revisions).newest()
    content = None if newest is None else revisions.revision(newest)
    try:
        return read_revision(newest, content).rule_set.model_files if newest is not None and content else []
    except SchemaError:
        return []


class Content:
    """
    The files that decide alerts, whole or not at all.

    `refused` are the problems of the newest edit, [] when it is in force. `audit` is told of every revision published or refused.
    """

    def __init__(
        self, config: Config, revisions: Numbered, metrics: Metrics, audit: Callable[[str, dict[str, Any]], None]
    ) -> None:
        """Nothing is read before `begin`."""
        self.refused: list[Problem] = []
        self._config = config
        self._revisions = revisions
        self._metrics = metrics
        self._audit = audit
        self._print: _Print = {}
        metrics.inc(numbers.RELOADS_REFUSED, 0)

    def begin(self) -> None:
        """Publish what the files say; when they are wrong the newest revision stays, and without one that is the end."""
        self._print = self._fingerprint()
        self._publish()
        if self.refused and self._revisions.newest() is None:
            raise ContentError(self.refused)

    def watch(self, stop: Event) -> None:
        """Publish every good edit until told to stop."""
        while not stop.is_set():
            try:
                for _ in watchfiles.watch(
                    *self._directories(),
                    watch_filter=lambda _, path: path.endswith(_SUFFIXES),
                    debounce=200,
                    rust_timeout=LOOK_EVERY_MS,
                    yield_on_timeout=True,
                    stop_event=stop,
                    recursive=False,
                ):
                    self.look()
            except (OSError, RuntimeError) as error:
                _log.warning("the watch over mappings and inventory ended (%s); looking every second", error)
                self.look()
                stop.wait(LOOK_EVERY_MS / 1_000)

    def look(self) -> None:
        """Publish what the files say if they have changed since they were read last."""
        found = self._fingerprint()
        if found == self._print:
            return
        try:
            self._publish()
        except SpikebridgeError as error:
            _log.error("the changed mappings are not published yet: %s", error)
        else:
            self._print = found

    def _publish(self) -> None:
        try:
            loaded = load_tested(self._config, models_in_force(self._revisions))
        except ContentError as error:
            self._refuse(error.problems)
            return
        if self.refused:
            _log.info("mappings, inventory and models are good again")
        self.refused = []
        before = self._revisions.newest()
        content = rule_set_content(loaded.rule_set)
        number = self._revisions.publish(content)
        if number == before:
            return
        for warning in loaded.warnings:
            _log.warning("%s", warning)
        rules, incidents, devices = len(loaded.rule_set.rules), len(loaded.rule_set.incidents), len(loaded.rule_set.devices)
        said = ", ".join([counted(rules, "rule"), counted(incidents, "incident rule"), counted(devices, "device")])
        _log.info("revision %d published: %s", number, said)
        for model in loaded.rule_set.model_files:
            _log.info("model %s %d serves %s: %s", model.name, model.version, ", ".join(model.classes), model.digest)
        self._audit("revision published", {"number": number, "digest": sha256(content), "before": before})

    def _refuse(self, problems: list[Problem]) -> None:
        if problems == self.refused:
            return
        self.refused = problems
        self._metrics.inc(numbers.RELOADS_REFUSED)
        for problem in problems:
            _log.error("%s", problem)
        newest = self._revisions.newest()
        if newest is not None:
            many = counted(len(problems), "problem")
            _log.error("%s: nothing of this edit counts, revision %d stays in force", many, newest)
        self._audit("revision refused", {"problems": [str(problem) for problem in problems[:20]], "in_force": newest})

    def _directories(self) -> set[Path]:
        """Return where an editor may replace a file: each directory of mappings with those inside it, and the parents of files."""
        found: set[Path] = set()
        for path in self._config.mappings:
            if path.is_dir():
                found |= {path, *(inside for inside in path.rglob("*") if inside.is_dir())}
            else:
                found.add(path.parent)
        if self._config.inventory:
            found.add(self._config.inventory.parent)
        found |= {path.parent for path in self._config.models}
        if self._config.model_keys:
            found.add(self._config.model_keys)
        return {path for path in found if path.is_dir()}

    def _fingerprint(self) -> _Print:
        """Return what changes when a file does."""
        paths = files_of(self._config.mappings, [])
        if self._config.inventory:
            paths.append(self._config.inventory)
        paths += paths_of(self._config.models, [])
        if self._config.model_keys:
            paths += sorted(self._config.model_keys.glob("*.pub"))
        found: _Print = {}
        for path in paths:
            try:
                status = path.stat()
            except OSError:
                continue
            found[path] = (status.st_ino, status.st_mtime_ns, status.st_size)
        return found
