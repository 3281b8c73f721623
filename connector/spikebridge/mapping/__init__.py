"""Tables that analysts edit to look-up arrays to alerts. Pure: no clock, no socket, no file but in `load.py`."""
