"""Checkpoints of the journal as people meet them, and the breaks of the journal that some acknowledge."""

from __future__ import annotations

from crypto_core.proof.forms import (
    CHECKPOINT,
    UNREADABLE,
    Checkpoint,
    JournalBreak,
    break_in,
    document_of,
    shown_moment,
)
from crypto_core.text.cleaning import CleanText, clean

ACTION = CHECKPOINT
MOST_LOST = 1_000
"""So many lost checkpoints a break can name."""


def told_break(made: Checkpoint) -> CleanText:
    """Return a sentence or two on the break that a checkpoint acknowledges."""
    broken = made.broken
    if broken is None:
        return clean("")
    last = "It was never signed before."
    if broken.last is not None:
        last = (
            f"The last checkpoint before was over entry {broken.last.seq}, of {shown_moment(broken.last.at)}."
        )
    missing = ", ".join(str(one.seq) for one in broken.lost[:20]) + (" …" if len(broken.lost) > 20 else "")
    return clean(
        f"The journal was broken, and began anew at entry {made.seq} on {shown_moment(made.at)}, as "
        f"{broken.by} acknowledged: {broken.reason} {last} "
        f"{f'Missing or changed at signed entries: {missing}.' if broken.lost else ''}",
        1_800,
    )


def break_from(text: str) -> JournalBreak | None:
    """Return the break that a table's text tells; None for no text, an empty one if it is none."""
    if not text:
        return None
    try:
        return break_in(document_of(text))
    except UNREADABLE:
        return JournalBreak("not readable", "", (), 0, None, (), b"")
