"""The wheel, built once and tried where nothing of the checkout is: in clean environments without extras."""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spikebridge_detectors.shipped.pins import PINS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet", "--retries", "10")
NEWEST = (3, 13)

IMPORT_ALL = """
import importlib, pkgutil, spikebridge, spikebridge_detectors
missing = {}
for package in (spikebridge, spikebridge_detectors):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".", onerror=lambda name: None):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                missing[module.name] = error.name
print(spikebridge.__path__[0])
print(missing)
"""

OWNERS = {
    "spikebridge.bench.torch_peer": "snntorch",
    "spikebridge.kafka.confluent": "confluent_kafka",
    "spikebridge.kafka.kafka_python": "kafka",
    "spikebridge.search.server": "urllib3",
    "spikebridge_detectors.compiled": "numba",
    "spikebridge_detectors.model.nir_file": "nir",
    "spikebridge_detectors.train.gradients.child": "snntorch",
}
"""The modules that own a library of an extra, and what they miss without it: nothing else may need one to be imported."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(3_600)]


def run(program: Path | str, *arguments: str | Path, cwd: Path, **more: str) -> str:
    """Run a program as a user would, who has no checkout, and return what it says; anything but exit 0 fails the test."""
    env = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV", "HYPOTHESIS_PROFILE")
    } | more
    done = subprocess.run([program, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=1_800)
    assert done.returncode == 0, f"{done.args}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def environment(base: str, lock: str, wheel: Path, folder: Path) -> Path:
    """Make an environment from a lock and the wheel; return its bin."""
    run(base, "-m", "venv", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    run(python, *PIP, "install", "--require-hashes", "-r", ROOT / lock, cwd=folder)
    run(python, *PIP, "install", "--no-deps", wheel, cwd=folder)
    return folder / "bin"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as `make wheel` does."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, *PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT, cwd=folder)
    (built,) = folder.glob("spikebridge-*-py3-none-any.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin of an environment with the base lock and the wheel."""
    return environment(sys.executable, "requirements.lock", wheel, tmp_path_factory.mktemp("clean") / "venv")


def test_the_wheel_holds_what_is_tracked_and_nothing_generic(wheel: Path) -> None:
    """Two packages, all their files, and the content; no top-level name but ours."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()  # noqa: S607 -- git of this machine
    roots = {
        "connector/spikebridge/": "spikebridge/",
        "detectors/spikebridge_detectors/": "spikebridge_detectors/",
        "mappings/": "spikebridge/_builtin/mappings/",
        "playbooks/": "spikebridge/_builtin/playbooks/",
    }
    expected = {name.replace(old, new, 1) for name in tracked for old, new in roots.items() if name.startswith(old)}

    names = set(zipfile.ZipFile(wheel).namelist())

    assert expected - names == set()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"spikebridge", "spikebridge_detectors"}
    assert {"spikebridge/py.typed", "spikebridge_detectors/py.typed", "spikebridge_detectors/backends/lava/child.py"} <= names


def test_every_module_imports_without_extras(installed: Path, tmp_path: Path) -> None:
    """No module but the owners of extras needs what the base lock doesn't hold, and none comes from the checkout."""
    where, missing = run(installed / "python", "-c", IMPORT_ALL, cwd=tmp_path).splitlines()

    assert str(installed.parent) in where
    assert missing == str(OWNERS)


def test_the_commands_work_without_a_checkout(installed: Path, tmp_path: Path) -> None:
    """Help, the catalogue, the shipped mappings with their own tests, the models that ship and their cards, and the demonstration."""
    command = installed / "spikebridge"
    package = Path(run(installed / "python", "-c", "import spikebridge; print(spikebridge.__path__[0])", cwd=tmp_path).strip())

    assert "demo" in run(command, "--help", cwd=tmp_path)
    assert "stix" in run(command, "list", "formats", cwd=tmp_path)
    run(command, "check", package / "_builtin" / "mappings", cwd=tmp_path)
    models = [Path(model["name"]) for model in json.loads(run(command, "list", "models", "--json", cwd=tmp_path))]
    assert {model.name for model in models} == set(PINS)
    for model in models:
        assert model.is_relative_to(installed.parent)
        assert model.with_suffix(".md").is_file()
        assert "unchanged since it shipped" in run(command, "model", "verify", model, cwd=tmp_path)
    run(command, "demo", "--once", "--store", tmp_path / "demo", cwd=tmp_path)


def test_the_unit_tests_pass_under_the_newest_python(wheel: Path, tmp_path: Path) -> None:
    """The wheel serves the newest Python that we name, with that Python's own resolution of the lock; a glance at each property is enough."""
    python = next(newest_pythons(), None)
    if python is None:
        wanted = ".".join(map(str, NEWEST))
        pytest.skip(f"no Python {wanted} on this machine: install one, or name it in SPIKEBRIDGE_PYTHON313")
    binaries = environment(python, "requirements-dev.lock", wheel, tmp_path / "venv")

    chosen = ("-q", "-m", "not long", "-p", "no:cacheprovider", "--randomly-seed", "1", "-n", "2", "--dist", "worksteal")
    run(binaries / "python", "-m", "pytest", *chosen, ROOT / "tests" / "unit", cwd=ROOT, HYPOTHESIS_PROFILE="glance")


def newest_pythons() -> Iterator[str]:
    """Yield those that run: a name on PATH proves nothing, pyenv's shims exist for versions that are switched off."""
    named = [os.environ.get("SPIKEBRIDGE_PYTHON313", ""), "python3.13", "/usr/bin/python3.13", "/usr/local/bin/python3.13"]
    pyenv = os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))
    proof = f"import sys, ensurepip; ensurepip.version(); sys.exit(sys.version_info[:2] != {NEWEST})"
    for candidate in [*filter(None, named), *sorted(glob.glob(f"{pyenv}/versions/3.13*/bin/python"))]:  # noqa: PTH207 -- of a pattern
        try:
            if subprocess.run([candidate, "-c", proof], capture_output=True, check=False, timeout=60).returncode == 0:
                yield candidate
        except OSError:
            continue
