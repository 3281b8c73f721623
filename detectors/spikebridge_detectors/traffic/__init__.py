"""Generated traffic: days of devices that nobody has, and attacks on them, for models that ship, for trials and for tests."""
