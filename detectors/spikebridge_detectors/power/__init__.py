"""The detector of power: which windows of a supply's current, voltage and power don't look like the device at its own work."""
