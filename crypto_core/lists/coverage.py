"""What a list or count covers. Nothing is cut short silently: a gap has a reason that is shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from crypto_core.lists.tone import Tone
from crypto_core.values.clean_text import cleans
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, made, shape


@dataclass(frozen=True, slots=True)
@cleans(reasons=2_000)
class Coverage(JsonRecord):
    """Whether an answer is whole, and if not, a sentence for each reason."""

    reasons: tuple[str, ...] = ()
    elsewhere: Elsewhere | None = None
    """For a count of tokens, how undeclared places were looked at."""
    by_members: int = 0
    """For such a count, tokens whose key KMS named for another of their group."""

    json_shape = shape(
        "complete reasons [elsewhere] [answered_by_another_member]",
        answered_by_another_member=made(
            int | None, lambda coverage: coverage.by_members if coverage.elsewhere else None
        ),
    )

    @property
    def complete(self) -> bool:
        """True if nothing is known to be missing. A count of tokens is complete as `elsewhere` says."""
        return not self.reasons

    @property
    def words(self) -> str:
        if self.elsewhere is None:
            return ""
        members = "KMS's answer about another token of their group"
        keys = f"; the keys of {counted(self.by_members, 'token')} by {members}" if self.by_members else ""
        return f"declared columns counted in full, other places {_ELSEWHERE[self.elsewhere]}{keys}"


class Elsewhere(StrEnum):
    READ = "read"
    SAMPLED = "sampled"
    UNKNOWN = "unknown"


_ELSEWHERE = {
    Elsewhere.READ: "read in full",
    Elsewhere.SAMPLED: "by samples of their rows",
    Elsewhere.UNKNOWN: "not looked at",
}


class Evidence(StrEnum):
    VERIFIED = "verified"
    """KMS was asked about this very token (every token counted)."""
    INFERRED = "inferred"
    """KMS was asked about another token of the same key material."""
    CONFLICT = "conflict"
    """KMS's answers about tokens of one group disagree."""
    UNKNOWN = "unknown"
    """Not known: no answer from KMS, or the envelope is damaged."""

    @property
    def tone(self) -> Tone:
        return _TONES[self]


_TONES = {
    Evidence.VERIFIED: Tone.PLAIN,
    Evidence.INFERRED: Tone.QUIET,
    Evidence.CONFLICT: Tone.WARNING,
    Evidence.UNKNOWN: Tone.WARNING,
}
