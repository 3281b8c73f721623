"""What goes wrong here."""

from __future__ import annotations


class ModelError(Exception):
    """A model, what one would be learned from, or evidence of one, that can't be used as it is: the message says where and what was expected."""


class CaptureError(Exception):
    """A capture that can't be read, or not any further: the message says where and what was expected."""


class BackendError(Exception):
    """What else would run a network isn't here, or failed: the message says what is missing or what it said."""
