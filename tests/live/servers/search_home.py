"""Program folders of search servers: unpacked and completed once, kept in the cache, hard-linked into each server's own folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.live.servers.fetch import cache
from tests.live.servers.limit import FETCH_S, own_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LARGEST_UNPACKED_BYTES = 1 << 30
"""Five times the largest of them."""

FORGOTTEN_AFTER_S = 7 * 24 * 3_600


def completed(name: str, made_of: Iterable[Path], complete: Callable[[Path], None]) -> Path:
    """
    Return the cached folder that `complete` fills when it isn't there yet.

    `made_of` are the files that decide what is in it (pins, sources, the code that completes it): when one changes, a new folder is made.
    """
    digest = hashlib.sha256()
    for path in made_of:
        digest.update(path.read_bytes())
    folder = cache() / "unpacked" / f"{name}-{digest.hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with own_limit(FETCH_S), tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        unfinished = Path(temporary) / name
        complete(unfinished)
        for path in [unfinished, *unfinished.rglob("*")]:  # whatever the umask: the account that runs the server isn't ours
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was quicker, and made the same
                raise
    _forget(folder.parent.glob(f"{name}-*"))
    return folder


def _forget(folders: Iterable[Path]) -> None:
    """Remove what was made of other files; not what is so young that another checkout may use it."""
    for folder in folders:
        if folder.stat().st_mtime < time.time() - FORGOTTEN_AFTER_S:
            shutil.rmtree(folder, ignore_errors=True)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip into a new folder, without the one folder at its top if there is one."""
    with zipfile.ZipFile(archive) as zipped:
        members = zipped.infolist()
        if sum(member.file_size for member in members) > LARGEST_UNPACKED_BYTES:
            raise ValueError(f"{archive}: expected at most {LARGEST_UNPACKED_BYTES} bytes when unpacked, found more")
        tops = {member.filename.partition("/")[0] for member in members}
        top = f"{tops.pop()}/" if len(tops) == 1 else ""
        for member in members:
            path = (folder / member.filename.removeprefix(top)).resolve()
            if not path.is_relative_to(folder.resolve()):
                raise ValueError(f"{archive}: {member.filename} would be written outside of the folder")
            if member.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with zipped.open(member) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
            if member.external_attr >> 16 & 0o100:
                path.chmod(0o755)


def link(home: Path, folder: Path) -> None:
    """Let a new folder hold the same files; copied where it lies on another file system."""
    shutil.copytree(home, folder, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
