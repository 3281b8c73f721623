"""Models that ship: trained on generated traffic, known by their digests, each with a card that says what it is and isn't good for."""
