"""Benchmarks: each case states its conditions, and its peer runs in the same process before and after it."""
