"""The journal's verification and its checkpoints, as commands show them: the rules are `proof.journal`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from crypto_core.guard.signature import Signer, asking
from crypto_core.proof import forms
from crypto_core.proof.journal import NOT_ANCHORED, JournalVerdict, JournalVerification
from crypto_core.values.clean_text import CleanText, clean, cleans
from crypto_core.values.json_records import JsonRecord, shape

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


@dataclass(frozen=True)
@cleans(problems=1_000, acknowledged=1_000, contradicted=1_000, unchecked=1_000, database_id=100)
class JournalCheck(JsonRecord, JournalVerdict):
    failed: bool = False
    """Whether KMS could not be asked about signatures."""

    json_shape = shape(
        "whole broken problems acknowledged contradicted breaks outside not_anchored=unanchored_because? "
        "time_stamps_unverified=stamps_unverified entries database_id? checkpoints anchored anchored_at "
        "unanchored signatures_unchecked=unchecked",
        broken=lambda record: record.problems[0] if record.problems else None,
        unanchored=lambda record: max(record.entries - record.anchored, 0),
    )

    @property
    def unanchored_because(self) -> str:
        return "" if self.outside else NOT_ANCHORED


def check(
    verification: JournalVerification,
    signer: Signer | None,
    *,
    also: Iterable[str] = (),
    absent: Iterable[str] = (),
) -> JournalCheck:
    """Return what was found, once the entries were followed. Asks KMS about signatures.

    `also` are problems that were found before, `absent` the places of anchors that are not there.
    """
    verdict = verification.judge(asking(signer), also=also, absent=absent)
    found: dict[str, Any] = {field.name: getattr(verdict, field.name) for field in fields(JournalVerdict)}
    return JournalCheck(**found, failed=signer is not None and bool(verdict.unchecked))
