"""Sensing at the edge: a device's days are learned, then watched by networks and rules, and a restart neither forgets nor tells twice."""
