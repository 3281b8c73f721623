"""
What counted operations would cost on Intel's first Loihi, by the figures of its makers for one synaptic operation and one active neuron update.

Davies et al., "Loihi: A Neuromorphic Manycore Processor with On-Chip Learning", IEEE Micro 38(1), 2018: quoted from there by others, such as
KerasSpiking, which adds 3.5 pJ for a spike's way; the paper itself was not at hand. Nothing here was measured on a chip.
"""

from __future__ import annotations

SYNAPSE_PJ, UPDATE_PJ = 23.6, 81.0


def told(synapses: float, updates: float, per: str) -> str:
    """Say what so many synaptic operations and neuron updates are."""
    microjoules = (synapses * SYNAPSE_PJ + updates * UPDATE_PJ) / 1e6
    return (
        f"{synapses:,.0f} synaptic operations and {updates:,.0f} neuron updates {per}, "
        f"which at {SYNAPSE_PJ} pJ and {UPDATE_PJ:g} pJ are {microjoules:,.1f} microjoules."
    )
