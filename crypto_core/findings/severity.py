"""How bad something is, worst first."""

from __future__ import annotations

from enum import StrEnum

from crypto_core.envelope import ENVELOPE_FORMATS, Format
from crypto_core.lists.tone import Tone


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
