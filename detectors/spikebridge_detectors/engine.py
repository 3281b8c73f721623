"""What runs networks: the compiled engine where the extra is installed, else NumPy; both give the same spikes and states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from spikebridge_detectors.network import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from spikebridge_detectors.lif import State

Name = Literal["compiled", "numpy"]


class Engine(NamedTuple):
    """One of them; `said` is the sentence for the operator."""

    name: Name
    said: str
    run: Callable[[Network, Sequence[State], NDArray[np.uint32]], NDArray[np.uint32]]


def engine(wanted: Name = "compiled") -> Engine:
    """Return the engine that is wanted, or NumPy and why: no model needs more."""
    if wanted == "numpy":
        return Engine("numpy", "networks run with NumPy, as asked for", Network.run)
    try:
        from spikebridge_detectors import compiled  # noqa: PLC0415 -- the extra is needed from here on
    except ImportError as error:
        said = (
            f"networks run with NumPy, about four times as slow as compiled and with the same spikes: {error}; "
            "install it with: pip install 'spikebridge[compiled]'"
        )
        return Engine("numpy", said, Network.run)
    return Engine("compiled", "networks run compiled; the first spikes wait a few seconds for it", compiled.run)
