"""The tone of a word or a shape."""

from __future__ import annotations

from enum import StrEnum


class Tone(StrEnum):
    """The tone of a word. The word itself always says it too."""

    PLAIN = "plain"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    QUIET = "quiet"
    NOTED = "noted"
