"""What rules about changes have in common: who changed what, whether it was done, and whether it was undone.

A change that failed is told as an attempt, two degrees less. One that was undone within the window is one
degree less. What services do in somebody's name counts: CloudFormation changes keys for whoever tells it to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from crypto_core.findings.finding import Finding
from crypto_core.findings.severity import Severity
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.rules.rule_context import (
    RuleContext,
    calls,
    found,
    listed,
    lower,
    subject_of,
    where_from,
    who,
)

Say = tuple[Severity, str, str]
"""How bad one call is, what it did in a few words behind the principal's name, and what was seen."""


@dataclass(frozen=True, slots=True)
class JudgedChange:
    """One kind of change. `say` judges a call; None leaves it out. `undo` is the call that undoes it."""

    rule: str
    say: Callable[[RuleContext, TrailEvent], Say | None]
    remedy: str
    undo: str = ""
    subject: Callable[[TrailEvent], str] = subject_of
    about_keys: bool = True


def findings_for_changes(
    watched: RuleContext, events: Sequence[TrailEvent], kind: JudgedChange
) -> Iterator[Finding]:
    """Yield a finding for each principal, subject and thing done, with all the calls that did it."""
    undone = _undone(watched, events, kind)
    groups: dict[tuple[str, str, str, bool], list[tuple[TrailEvent, Say]]] = {}
    for event in events:
        said = kind.say(watched, event)
        if said is not None:
            key = (event.principal.arn, kind.subject(event), said[1], event.failed)
            groups.setdefault(key, []).append((event, said))
    for (principal, subject, did, failed), members in groups.items():
        calls_ = [event for event, _ in members]
        severity = min((said[0] for _, said in members), key=lambda s: s.rank)
        if kind.about_keys:
            severity = watched.weighed(severity, calls_[0].key_arns or (calls_[0].alias,))
        back = subject in undone and max(e.time for e in calls_) <= undone[subject]
        if failed:
            severity = lower(severity, 2)
        elif back:
            severity = lower(severity)
        errors = listed(dict.fromkeys(e.error_code for e in calls_ if e.error_code))
        via = listed(dict.fromkeys(e.principal.invoked_by for e in calls_ if e.principal.invoked_by))
        parts = [
            f"{calls(len(calls_))} of {listed(dict.fromkeys(e.name for e in calls_))}"
            + (f", refused with {errors}" if failed else ""),
            *dict.fromkeys(said[2] for _, said in members if said[2]),
            f"from {where_from(calls_)}",
            f"by {principal or 'nobody named'}",
            f"through {via}" if via else "",
            f"undone since by {kind.undo}" if back and not failed else "",
        ]
        yield found(
            kind.rule,
            severity,
            subject,
            f"{who(calls_[0])} {'tried: ' if failed else ''}{did}",
            "; ".join(part for part in parts if part),
            kind.remedy,
            calls_,
        )


def _undone(watched: RuleContext, events: Sequence[TrailEvent], kind: JudgedChange) -> dict[str, datetime]:
    """When what a change did was last undone, by subject."""
    if not kind.undo or not events:
        return {}
    later, _ = watched.changes(events[0].source, kind.undo)
    return {kind.subject(e): e.time for e in later if not e.failed}
