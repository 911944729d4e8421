"""Token columns into which anything can be written: a CHECK constraint refuses it, whoever writes."""

from __future__ import annotations

from crypto_core.database.column_guards.model import GuardState
from crypto_core.findings.controls import AT_REST, INPUT
from crypto_core.findings.finding import Finding
from crypto_core.findings.registry import Facts, Said, rule
from crypto_core.findings.severity import Severity
from crypto_core.keys.posture.facts import Estate
from crypto_core.text.counting import counted

SUBJECT = "token columns"


@rule(
    "columns-unguarded",
    "Token columns that accept what is no envelope",
    Severity.MEDIUM,
    Facts.KEYS,
    about="medium where somebody changed a guard, low where there is none",
    controls=(INPUT, AT_REST),
)
def unguarded(estate: Estate) -> Said:
    """Yield one finding about all columns whose guard is missing, or is not what Keydeck makes."""
    open_ = [guard for guard in estate.guards if not guard.guards]
    if not open_:
        return
    changed = [guard for guard in open_ if guard.state is GuardState.CHANGED]
    accepts = "accepts" if len(open_) == 1 else "accept"
    yield Finding(
        "",
        Severity.MEDIUM if changed else Severity.LOW,
        SUBJECT,
        f"{counted(len(open_), 'token column')} {accepts} what is no envelope",
        "; ".join(f"{guard.column}: {guard.obstacle or guard.state.value}" for guard in open_),
        "See what a guard would refuse with keydeck guard, encrypt it in place, then: keydeck guard --apply.",
    )
