"""What the journal's verification found, as commands show it: the rules are `proof.journal`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from crypto_core.guard.signature import Signer, asking
from crypto_core.proof.journal import NOT_ANCHORED, JournalVerdict, JournalVerification
from crypto_core.text.cleaning import cleans


@dataclass(frozen=True)
@cleans(problems=1_000, acknowledged=1_000, contradicted=1_000, unchecked=1_000, database_id=100)
class JournalCheck(JournalVerdict):
    """What the journal's verification found. Each problem is one sentence; cleaned text."""

    failed: bool = False
    """True if signatures were to be checked and KMS could not be asked."""

    @property
    def unanchored_because(self) -> str:
        """The sentence for a journal that nothing outside of its database fixes, "" for another."""
        return "" if self.outside else NOT_ANCHORED

    def as_json(self) -> dict[str, Any]:
        """The document that `keydeck journal verify --json` prints."""
        return {
            "whole": self.whole,
            "broken": self.problems[0] if self.problems else None,
            "problems": list(self.problems),
            "acknowledged": list(self.acknowledged),
            "contradicted": list(self.contradicted),
            "breaks": [one.as_json() for one in self.breaks],
            "outside": [one.as_json() for one in self.outside],
            "not_anchored": self.unanchored_because or None,
            "time_stamps_unverified": self.stamps_unverified,
            "entries": self.entries,
            "database_id": self.database_id or None,
            "checkpoints": self.checkpoints,
            "anchored": self.anchored,
            "anchored_at": self.anchored_at.isoformat() if self.anchored_at else None,
            "unanchored": max(self.entries - self.anchored, 0),
            "signatures_unchecked": self.unchecked,
        }


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
