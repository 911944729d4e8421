"""Severity on screen: a sign, a colour, and a word that stands beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from crypto_core.envelope import Format
from crypto_core.findings.severity import FORMAT_SEVERITY, Severity
from crypto_core.lists.coverage import Evidence

if TYPE_CHECKING:
    from crypto_core.database.tokens.inventory import InventoryRow
    from screens.key_words import KeyWords


class Sign(NamedTuple):
    """One sign and its style, which names a colour of the theme."""

    text: str
    style: str


SIGNS: Mapping[Severity, Sign] = {
    Severity.CRITICAL: Sign("✖", "$error"),
    Severity.HIGH: Sign("▲", "$warning"),
    Severity.MEDIUM: Sign("△", "$warning"),
    Severity.LOW: Sign("○", "$muted"),
    Severity.NONE: Sign("●", "$success"),
}

DECOY_SIGN = "◇"
"""Before what is a decoy of a tripwire."""

EVIDENCE_STYLES: Mapping[Evidence, str] = {
    Evidence.VERIFIED: "",
    Evidence.INFERRED: "$muted",
    Evidence.CONFLICT: "$warning",
    Evidence.UNKNOWN: "$warning",
}


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
