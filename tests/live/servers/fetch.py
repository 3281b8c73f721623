"""
Server programs from their registries, pinned by version and SHA-256, kept between runs.

`SPIKEBRIDGE_CACHE` names the cache directory (default `~/.cache/spikebridge/live`), `SPIKEBRIDGE_MAVEN` a mirror of Maven Central.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.live.servers.limit import FETCH_S, own_limit
from tests.live.servers.missing import Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAVEN = "https://repo1.maven.org/maven2"
LARGEST_BYTES = 512 << 20
"""More than any server needs, and less than what fills a disk when a registry answers with something else."""

_PINS = Path(__file__).with_name("pins")
_BLOCK_BYTES = 1 << 20
_TRIES = 3
_PASSING = (http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS)
_TIMEOUT_S = 30
_MVN_TIMEOUT_S = 600
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"


class WrongContent(Exception):  # noqa: N818
    """What arrived isn't what was pinned: a failure on every machine, never a reason to skip."""


def pinned(name: str) -> dict[str, Path]:
    """Return the files of `pins/NAME.json`, a map of sources to SHA-256, each under its source."""
    pins: dict[str, str] = json.loads((_PINS / f"{name}.json").read_text(encoding="utf-8"))
    with own_limit(FETCH_S), ThreadPoolExecutor(8) as pool:
        return dict(zip(pins, pool.map(fetched, pins, pins.values()), strict=True))


def fetched(source: str, sha256: str, limit_bytes: int = LARGEST_BYTES) -> Path:
    """
    Return the file from `source`, downloaded unless it is in the cache and still what it was.

    `source` is an https URL or a Maven coordinate, GROUP:ARTIFACT:VERSION[:PACKAGING[:CLASSIFIER]].
    Threads and processes that want the same file at the same time wait for the one that came first.
    """
    url, name = _location(source)
    directory = cache() / sha256
    path = directory / name
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory / ".lock"):
        if path.is_file() and _sha256(path) == sha256:
            return path
        with tempfile.TemporaryDirectory(dir=directory) as temporary:
            download = Path(temporary) / name
            _download(source, url, download, limit_bytes)
            found = _sha256(download)
            if found != sha256:
                raise WrongContent(
                    f"{source}: expected the SHA-256 {sha256}, found {found}: don't use it; ask who pinned it, or your mirror"
                )
            download.replace(path)
    return path


def cache() -> Path:
    """Return the directory that outlives the runs."""
    return Path(os.environ.get("SPIKEBRIDGE_CACHE") or "~/.cache/spikebridge/live").expanduser()


def _location(source: str) -> tuple[str, str]:
    if "://" in source:
        parts = urlsplit(source)
        if parts.scheme != "https":
            raise ValueError(f"{source}: expected an https URL or a Maven coordinate")
        return source, PurePosixPath(parts.path).name
    group, artifact, version, packaging, classifier, *_ = [*source.split(":"), "", ""]
    packaging = packaging or "jar"
    name = f"{artifact}-{version}{classifier and '-'}{classifier}.{packaging}"
    base = (os.environ.get("SPIKEBRIDGE_MAVEN") or MAVEN).rstrip("/")
    return f"{base}/{group.replace('.', '/')}/{artifact}/{version}/{name}", name


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(source: str, url: str, path: Path, limit_bytes: int) -> None:
    parts = urlsplit(url)
    reason = _unreachable(f"{parts.scheme}://{parts.netloc}/")
    if not reason:
        reason = _tried(lambda: _stream(url, path, limit_bytes))
    if reason and not ("://" not in source and _by_mvn(source, path)):
        host = parts.hostname
        raise Missing(
            f"{source} is not in the cache and {host} doesn't give it: {reason}; SPIKEBRIDGE_MAVEN may name a mirror of Maven Central"
        )


@functools.cache
def _unreachable(root: str) -> str:
    """Return why nothing can be had from a host, or nothing; asked once, so that 46 files don't wait 46 times where only `mvn` gets out."""

    def ask() -> None:
        try:
            request = urllib.request.Request(root, method="HEAD")  # noqa: S310  https, or what the user set
            urllib.request.urlopen(request, timeout=_TIMEOUT_S).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            error.close()  # an answer, whatever it says

    return _tried(ask)


def _tried(step: Callable[[], None]) -> str:
    """Do it, again where the network or the registry had a bad moment; return why it failed, or nothing."""
    reason = ""
    for attempt in range(_TRIES):
        time.sleep(attempt)
        try:
            step()
        except urllib.error.HTTPError as error:
            error.close()
            reason = str(error)
            if error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR and error.code not in _PASSING:
                return reason
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
        else:
            return ""
    return reason


def _stream(url: str, path: Path, limit_bytes: int) -> None:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, path.open("wb") as file:  # noqa: S310  https, or what the user set
        left = limit_bytes
        while block := answer.read(_BLOCK_BYTES):
            left -= len(block)
            if left < 0:
                raise WrongContent(f"{url}: expected at most {limit_bytes} bytes, found more")
            file.write(block)


def _by_mvn(source: str, path: Path) -> bool:
    """Where only Maven's own settings lead out (a proxy, a mirror with a password), let Maven fetch."""
    mvn = shutil.which("mvn")
    if mvn is None:
        return False
    command = [mvn, "-q", "-B", _COPY, f"-Dartifact={source}", f"-DoutputDirectory={path.parent}"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, cwd=path.parent, timeout=_MVN_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and path.is_file()
