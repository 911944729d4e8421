"""Severity on screen: a sign, a colour, and a word that stands beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from crypto_core.envelope import Format
from crypto_core.findings.finding import FORMAT_SEVERITY, Severity
from crypto_core.lists.coverage import Evidence
from crypto_core.lists.tone import Tone

if TYPE_CHECKING:
    from crypto_core.database.tokens.inventory import InventoryRow
    from screens.key_words import KeyWords


STYLES: Mapping[str, str] = {
    Tone.PLAIN: "",
    Tone.GOOD: "$success",
    Tone.WARNING: "$warning",
    Tone.BAD: "$error",
    Tone.QUIET: "$muted",
    Tone.NOTED: "$accent",
}


class Sign(NamedTuple):
    """One sign and its style, which names a colour of the theme."""

    text: str
    style: str


SIGNS: Mapping[Severity, Sign] = {
    severity: Sign(sign, STYLES[severity.tone]) for severity, sign in zip(Severity, "✖▲△○●", strict=True)
}

EVIDENCE_STYLES: Mapping[Evidence, str] = {evidence: STYLES[evidence.tone] for evidence in Evidence}


def format_style(format_: Format) -> str:
    """The style of a format's word: a colour only where the format itself is a problem."""
    severity = FORMAT_SEVERITY[format_]
    return "" if severity is Severity.NONE else SIGNS[severity].style


def row_sign(row: InventoryRow, keys: KeyWords) -> Sign:
    """What a row's first column shows: the worst of its format, its evidence and its key's state."""
    if row.severity is not Severity.NONE:
        return SIGNS[row.severity]
    state = keys.state(row.key_arn)
    if row.evidence in (Evidence.CONFLICT, Evidence.UNKNOWN) or (state is not None and state != "Enabled"):
        return SIGNS[Severity.HIGH]
    return SIGNS[Severity.NONE]
