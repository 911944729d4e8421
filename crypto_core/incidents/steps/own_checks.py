"""The checks that look at the incident itself: was the evidence captured, was the drill recorded."""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial

from crypto_core.database.state.incidents import IncidentStore, IncidentWhole
from crypto_core.incidents.model import CheckResult, CheckState, EntryKind
from crypto_core.incidents.runbooks.catalogue import CaptureKind, CheckKind
from crypto_core.incidents.steps.evidence_text import NOTHING_SHA256
from crypto_core.incidents.steps.step_contracts import IncidentCheck, Situation, Toolbox

EVIDENCE_CHECKS = frozenset(
    {CheckKind.EVIDENCE_CAPTURED, CheckKind.DRILL_RECORDED, CheckKind.PROVIDER_EVENTS_COVERED}
)
"""Checks that look at evidence: it is captured before they look, not after."""


def own_checks(store: IncidentStore, toolbox: Toolbox) -> dict[CheckKind, IncidentCheck]:
    """Return the checks that need nothing but the store, and what can be captured here."""
    return {
        CheckKind.EVIDENCE_CAPTURED: partial(_evidence_captured, store, toolbox),
        CheckKind.DRILL_RECORDED: partial(_drill_recorded, store),
    }


def kept_kinds(whole: IncidentWhole, step_id: str, *, nothing: bool = True) -> frozenset[str]:
    """Return the kinds of evidence that a step has since its action last ended, or it was taken up again.

    Unless `nothing` is set, those don't count of which there was nothing.
    """
    since = max(
        (
            entry.at
            for entry in whole.entries
            if entry.step_id == step_id and entry.kind in (EntryKind.ACTION.value, EntryKind.REOPENED.value)
        ),
        default=None,
    )
    return frozenset(
        piece.kind
        for piece in whole.evidence
        if piece.step_id == step_id
        and (since is None or piece.captured_at >= since)
        and (nothing or piece.sha256 != NOTHING_SHA256)
    )


def _evidence_captured(store: IncidentStore, toolbox: Toolbox, situation: Situation) -> CheckResult:
    """Every kind of evidence that the step names has a piece; none counts that says it can't be captured."""
    named, whole = situation.step.captures, store.whole(situation.incident.id)
    kept, there = (kept_kinds(whole, situation.step.id, nothing=nothing) for nothing in (True, False))
    told = {kind: toolbox.not_installed(kind, "Capture") for kind in named if kind.value not in there}
    unable = [sentence for sentence in told.values() if sentence]
    missing = [kind.value for kind in named if kind.value not in kept and not told[kind]]
    lines = (*([f"Not captured yet: {', '.join(missing)}."] if missing else []), *unable)
    state = CheckState.NOT_YET if missing else CheckState.UNKNOWN if unable else CheckState.PASSED
    left = len(missing) + len(unable)
    return CheckResult(state, lines or ("All evidence is captured.",), len(named) - left, len(named))


def _drill_recorded(store: IncidentStore, situation: Situation) -> CheckResult:
    """The incident has the evidence of a verification, with when it was and how long it took."""
    whole = store.whole(situation.incident.id)
    pieces = [
        piece
        for piece in whole.evidence
        if piece.kind == CaptureKind.VERIFICATION.value and piece.sha256 != NOTHING_SHA256
    ]
    if not pieces:
        return CheckResult(CheckState.NOT_YET, ("No verification is kept as evidence.",))
    last = pieces[-1]
    content = json.loads(store.content(situation.incident.id, last.id))
    seconds = _length(content, whole.incident.declared_at, last.captured_at)
    line = f"Verified on {last.captured_at:%Y-%m-%d} in {seconds:,.0f} s."
    return CheckResult(CheckState.PASSED, (line, f"Evidence {last.id}, SHA-256 {last.sha256}."), 1, 1)


def _length(content: object, declared_at: datetime, captured_at: datetime) -> float:
    """How long the verification took; where that isn't told, how long after the declaration it was kept."""
    if isinstance(content, dict) and isinstance(content.get("seconds"), int | float):
        return float(content["seconds"])
    return (captured_at - declared_at).total_seconds()
