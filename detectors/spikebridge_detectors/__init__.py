"""Spiking detectors: networks that turn the raw spikes of a sensor into output spikes, and never import `spikebridge`."""
