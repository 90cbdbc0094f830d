"""What ends a preparation."""

from __future__ import annotations


class PreparationError(Exception):
    """A deployment cannot be prepared; the message, of several lines, says what is wrong and what to do."""
