"""Checkpoints in words, and the breaks of the journal that some acknowledge."""

from __future__ import annotations

from crypto_core.proof import forms
from crypto_core.text.clean_text import CleanText, clean

ACTION = forms.CHECKPOINT
MOST_LOST = 1_000
"""So many lost checkpoints a break can name."""


def told_break(made: forms.Checkpoint) -> CleanText:
    """Return a sentence or two on the break that a checkpoint acknowledges."""
    broken = made.broken
    if broken is None:
        return clean("")
    last = "It was never signed before."
    if broken.last is not None:
        at = forms.shown_moment(broken.last.at)
        last = f"The last checkpoint before was over entry {broken.last.seq}, of {at}."
    missing = ", ".join(str(one.seq) for one in broken.lost[:20]) + (" …" if len(broken.lost) > 20 else "")
    return clean(
        f"The journal was broken, and began anew at entry {made.seq} on {forms.shown_moment(made.at)}, as "
        f"{broken.by} acknowledged: {broken.reason} {last} "
        f"{f'Missing or changed at signed entries: {missing}.' if broken.lost else ''}",
        1_800,
    )


def break_from(text: str) -> forms.JournalBreak | None:
    """Return the break that a table's text tells; None for no text, an empty one if it is none."""
    if not text:
        return None
    try:
        return forms.break_in(forms.document_of(text))
    except forms.UNREADABLE:
        return forms.JournalBreak("not readable", "", (), 0, None, (), b"")
