"""Spikebridge turns the spikes of neuromorphic sensors into alerts that a security team can act on."""

__version__ = "0.1.0"
