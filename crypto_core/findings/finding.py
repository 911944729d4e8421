"""What a rule says: a finding of some severity, or a gap where it could not look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from crypto_core.envelope import ENVELOPE_FORMATS, Format
from crypto_core.lists.coverage import Coverage
from crypto_core.lists.tone import Tone
from crypto_core.values.clean_text import cleans
from crypto_core.values.json_records import JsonRecord, shape


class Severity(StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NONE = "none"

    @property
    def rank(self) -> int:
        """0 for the worst; for sorting."""
        return list(Severity).index(self)

    @property
    def tone(self) -> Tone:
        return _TONES[self]

    @property
    def grave(self) -> bool:
        return self.rank <= Severity.HIGH.rank

    def at_most(self, limit: Severity) -> Severity:
        """This severity, or the limit if it is worse."""
        return max(self, limit, key=lambda s: s.rank)

    def lowered(self, steps: int = 1) -> Severity:
        order = list(Severity)
        return order[min(self.rank + steps, order.index(Severity.LOW))]


_TONES = {
    Severity.CRITICAL: Tone.BAD,
    Severity.HIGH: Tone.WARNING,
    Severity.MEDIUM: Tone.WARNING,
    Severity.LOW: Tone.QUIET,
    Severity.NONE: Tone.GOOD,
}
FORMAT_SEVERITY: dict[Format, Severity] = {
    Format.PLAINTEXT: Severity.CRITICAL,
    Format.DEV: Severity.CRITICAL,
    Format.UNRECOGNISED: Severity.HIGH,
    Format.EMPTY: Severity.LOW,
    **dict.fromkeys(ENVELOPE_FORMATS, Severity.NONE),
}
"""What the way a token is stored means by itself. Dev counts as unprotected: its key is public."""


@dataclass(frozen=True, slots=True)
@cleans(rule=100, subject=300, title=600, evidence=1_000, remedy=1_000, controls=100, techniques=20)
class Finding(JsonRecord):
    """Something about tokens, in the posture or in CloudTrail that deserves an operator. Cleaned text.

    `rule` is stable, such as kms-rotation-off. `subject` is a key ARN, an alias, a trail's ARN, a Region or
    a principal. `title` is the reason in one line, `evidence` what was seen, `remedy` what to do, `controls`
    the published controls that the rule serves. What CloudTrail shows has besides: `techniques`, the ids of
    MITRE ATT&CK, `events`, some of the events by their ids, and when the first and the last of all happened.
    What is about tokens counts them; `rows` is the filter that finds their rows, "" for none.
    """

    rule: str
    severity: Severity
    subject: str
    title: str
    evidence: str
    remedy: str
    controls: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    first_at: datetime | None = None
    last_at: datetime | None = None
    tokens: int = 0
    rows: str = ""

    json_shape = shape("... -tokens -rows")

    @property
    def thing(self) -> str:
        """Equal for findings of the same thing, whatever their numbers."""
        return f"{self.rule} {self.subject}".rstrip()


@dataclass(frozen=True, slots=True)
@cleans(reason=1_000)
class Gap:
    """Something that could not be examined, and the worst that it may hide. Cleaned text."""

    reason: str
    hides: Severity


def once_each(said: Iterable[Finding | Gap]) -> tuple[tuple[Finding, ...], tuple[Gap, ...]]:
    """Return the findings, the worst first, and the gaps; duplicates appear once."""
    every = tuple(said)
    findings = {(f.rule, f.subject, f.title): f for f in every if isinstance(f, Finding)}
    ordered = sorted(findings.values(), key=lambda f: (f.severity.rank, f.rule, f.subject, f.title))
    return tuple(ordered), tuple(dict.fromkeys(gap for gap in every if isinstance(gap, Gap)))


def coverage_of(gaps: Iterable[Gap]) -> Coverage:
    """Each gap names the key, trail or events, and why."""
    return Coverage(tuple(dict.fromkeys(gap.reason for gap in gaps)))
