"""The demonstration: a small site whose generated spikes go through the real product."""
