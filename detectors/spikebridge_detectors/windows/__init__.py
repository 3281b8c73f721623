"""Windows of a series, told by a few numbers each: what is odd about a number, and about two of them together."""
