"""Tokens in places that no inventory knows: they are under keys, and no count of those keys has them."""

from __future__ import annotations

from crypto_core.findings.controls import DATA_INVENTORY
from crypto_core.findings.finding import Finding
from crypto_core.findings.registry import Facts, Said, rule
from crypto_core.findings.severity import Severity
from crypto_core.keys.posture.facts import Estate


@rule(
    "tokens-undeclared",
    "Tokens in columns that no inventory knows",
    Severity.HIGH,
    Facts.KEYS,
    about="a sweep of the database has found them; they are in no count, and no re-encryption reaches them",
    controls=(DATA_INVENTORY,),
)
def tokens_undeclared(estate: Estate) -> Said:
    """Yield each column that holds tokens and is not declared."""
    sweep = estate.sweep
    if sweep is None:
        return
    for table, column in sweep.places():
        place = table.place_of(column)
        yield Finding(
            "",
            Severity.HIGH,
            place,
            f"{place} holds tokens and is in no inventory",
            f"{column.words}, as looked at on {sweep.taken_at:%Y-%m-%d %H:%M} UTC",
            "Describe the column in the settings file (keydeck discover proposes the entry), or delete what "
            "is in it. Until then no count of tokens under a key is complete.",
        )
