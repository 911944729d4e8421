"""Why a test is not met, so that the same thing is known again on another day and by another test."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from crypto_core.text.cleaning import NO_TEXT, CleanText, clean, cleans

_COUNT = re.compile(r"(?<![\w.:/-])[0-9][0-9,]*(?![\w:/-])")
"""A number that stands by itself, such as a count; not part of a name, a date or an ARN."""


@dataclass(frozen=True, slots=True)
@cleans(300)
class Cause:
    """One thing that is wrong. Two answers tell of the same one where `kind` and `subject` are equal.

    `kind` is a rule's id, or a test's word for it; `subject` what it is about, such as a key's ARN or a
    column, "" where it is about nothing in particular. `what` is the sentence, whose numbers may differ from
    day to day; `size` says on which day it is at its worst.
    """

    kind: CleanText
    subject: CleanText
    what: CleanText
    size: int = 0
    at: datetime | None = None
    """When it happened, of what happened; None for what stands."""

    @property
    def id(self) -> str:
        """What it is known by."""
        return f"{self.kind} {self.subject}".rstrip()


def cause(kind: str, subject: str = "", what: str = "", size: int = 0, at: datetime | None = None) -> Cause:
    """Return a cause of texts that may come from outside."""
    return Cause(clean(kind, 300), clean(subject, 300), clean(what or kind, 300), size, at)


def without_counts(text: str) -> CleanText:
    """Return a text with "#" for each number that stands by itself: the same while numbers change."""
    return clean(_COUNT.sub("#", text), 300)


NO_KIND = NO_TEXT
"""The kind of a cause that is known by its test alone; the test's name stands for it."""
