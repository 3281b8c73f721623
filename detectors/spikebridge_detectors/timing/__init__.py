"""Attacks seen in when packets come: marks and gaps, a layer that learned what to expect, and neurons that gather its surprises."""
