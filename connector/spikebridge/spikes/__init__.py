"""Spikes: bytes and JSON to columns. Pure: no clock, no socket, no file."""
