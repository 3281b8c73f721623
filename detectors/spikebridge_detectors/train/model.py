"""What was learned of a class of devices as a model."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple, Self

from spikebridge_detectors.errors import ModelError
from spikebridge_detectors.model.header import Training
from spikebridge_detectors.timing.model import About, modelled
from spikebridge_detectors.train.traffic import lasted
from spikebridge_detectors.windows import model as windows
from spikebridge_detectors.windows.well import Well

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spikebridge_detectors.timing.learning import Learned
    from spikebridge_detectors.train.gather import Given, Series, Traffic
    from spikebridge_detectors.train.series import Settings
    from spikebridge_detectors.windows.detector import Learned as Windows

_CLASS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,55}")
_WHOLE = range(1 << 31)


class Named(NamedTuple):
    """Whose model it is, which of its versions, and the seed."""

    device_class: str
    version: int
    seed: int

    def checked(self) -> Self:
        """Refuse what a model can't hold, all at once."""
        found = []
        if not _CLASS.fullmatch(self.device_class):
            found.append(f'class: expected up to 56 letters, digits, ".", "_" and "-", found "{self.device_class}"')
        if self.version not in _WHOLE[1:]:
            found.append(f"version: expected 1 to {_WHOLE[-1]}, found {self.version}")
        if self.seed not in _WHOLE:
            found.append(f"seed: expected 0 to {_WHOLE[-1]}, found {self.seed}")
        if found:
            raise ModelError("\n".join(found))
        return self


def written(learned: Learned, given: Traffic, named: Named) -> bytes:
    """Return the unsigned model."""
    days = sum(map(lasted, given.devices.values()))
    count = len(given.devices)
    training = Training(
        data=f"{days:.1f} days of {count} device{'' if count == 1 else 's'} of the class {named.device_class}, out of captures",
        sha256=digest(given.files),
        seed=named.seed,
    )
    name, about = (
        f"timing-{named.device_class}",
        f"What comes, or stays away, at times that the habits of the class {named.device_class} don't explain.",
    )
    return modelled(learned, About(name, named.version, about, (named.device_class,), training))


def series_written(what: Windows | Well, given: Series, named: Named, settings: Settings) -> bytes:
    """Return the unsigned model of power, vibration or rf."""
    samples, count = sum(len(one.time_ns) for one in given.recordings), len(given.files)
    training = Training(
        data=f"{samples:,} samples in {count} recording{'' if count == 1 else 's'} of the class {named.device_class}",
        sha256=digest(given.files),
    )
    name, text = (
        f"{settings.kind}-{named.device_class}",
        f"Windows of {settings.kind} that aren't those of the class {named.device_class}.",
    )
    about = windows.About(settings.kind, name, named.version, text, (named.device_class,), training)
    if not isinstance(what, Well):
        return windows.modelled(what, settings.groups, about)
    scale = {"scale_mean": tuple(what.scale.mean.tolist()), "scale_deviation": tuple(what.scale.deviation.tolist())}
    return windows.modelled(what.windows, settings.groups, about, length=what.length, every=what.every, **scale)


def digest(files: Sequence[Given]) -> str:
    """Return the SHA-256 of the file, or of those of several files behind one another."""
    if len(files) == 1:
        return files[0].sha256
    return hashlib.sha256(b"".join(bytes.fromhex(file.sha256) for file in files)).hexdigest()
