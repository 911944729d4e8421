"""What rules about changes have in common: who changed what, whether it was done, and whether it was undone.

A change that failed is told as an attempt, two degrees less. One that was undone within the window is one
degree less. What services do in somebody's name counts: CloudFormation changes keys for whoever tells it to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from crypto_core.findings.finding import Severity
from crypto_core.findings.registry import Facts, NoSigma, Rule, Said, Sigma, SigmaKeys, rule
from crypto_core.lists.filter_language import Term
from crypto_core.trail.event import KMS, UNDATED, TrailEvent
from crypto_core.trail.rules.rule_context import (
    RuleContext,
    calls,
    found,
    listed,
    subject_of,
    where_from,
    who,
)

REHEARSED = "DryRunOperationException"

Judgement = tuple[Severity, str, str]
"""How bad one call is, what it did in a few words behind the principal's name, and what was seen."""
Judge = Callable[[RuleContext, TrailEvent], Judgement | None]
"""Judges a call; None leaves it out."""

Terms = Callable[[RuleContext], Sequence[Term]]


@dataclass(frozen=True, slots=True)
class _Change:
    """The calls that a rule is about. `undo` maps each to those that undo it, `terms` says which count."""

    judge: Judge
    source: str
    names: tuple[str, ...]
    remedy: str
    undo: Mapping[str, tuple[str, ...]]
    subject: Callable[[TrailEvent], str]
    about_keys: bool
    terms: Terms


def change_rule(
    id_: str,
    title: str,
    severity: Severity,
    *,
    techniques: tuple[str, ...],
    names: tuple[str, ...],
    remedy: str,
    source: str = KMS,
    undo: str | Mapping[str, tuple[str, ...]] = "",
    subject: Callable[[TrailEvent], str] = subject_of,
    about_keys: bool = True,
    about: str = "",
    falsepositives: tuple[str, ...] = ("A planned change by the keys' administrators",),
    keys: SigmaKeys | None = None,
    services: bool = True,
    limits: str = "",
    no_sigma: str = "",
    terms: Terms = lambda _: (),
) -> Callable[[Judge], Rule[[RuleContext]]]:
    """Declare a rule about calls of these names; the function below it judges each of them.

    A finding is made for each principal, subject and thing done, with all the calls that did it. Its severity
    is two degrees less where the calls are about keys that guard no tokens. `services` is False where the
    judge leaves services' calls out, `no_sigma` says what it looks at that Sigma can't. `undo` is the call
    that undoes them, or which calls undo which.
    """
    sigma = (
        NoSigma(no_sigma)
        if no_sigma
        else Sigma(
            {"eventSource": source, "eventName": list(names)},
            keys or (SigmaKeys.GUARDING if about_keys else SigmaKeys.ANY),
            services=services,
            limits=limits,
            falsepositives=falsepositives,
        )
    )

    def declare(judge: Judge) -> Rule[[RuleContext]]:
        undone_by = {name: (undo,) for name in names if undo} if isinstance(undo, str) else undo
        change = _Change(judge, source, names, remedy, undone_by, subject, about_keys, terms)

        @rule(id_, title, severity, Facts.EVENTS, about=about, techniques=techniques, sigma=sigma)
        def examine(context: RuleContext) -> Said:
            events, gaps = context.changes(source, *names, terms=terms(context))
            yield from gaps
            yield from _findings(context, events, change)

        return examine

    return declare


def _findings(context: RuleContext, events: Sequence[TrailEvent], change: _Change) -> Said:
    undone = _undone(context, change) if events else {}
    groups: dict[tuple[str, str, str, bool], list[tuple[TrailEvent, Judgement]]] = {}
    for event in events:
        judged = change.judge(context, event)
        if judged is not None:
            key = (event.principal.arn, change.subject(event), judged[1], event.failed)
            groups.setdefault(key, []).append((event, judged))
    for (principal, subject, did, failed), members in groups.items():
        calls_ = [event for event, _ in members]
        undoing = {undo for event in calls_ for undo in change.undo.get(event.name, ())}
        severity = min((judged[0] for _, judged in members), key=lambda s: s.rank)
        if change.about_keys:
            severity = context.weighed(severity, calls_[0].key_arns or (calls_[0].alias,))
        last = max(e.time for e in calls_)
        back = [name for name in undoing if undone.get((subject, name), UNDATED) >= last]
        if failed:
            severity = severity.lowered(2)
        elif back:
            severity = severity.lowered()
        errors = listed(dict.fromkeys(e.error_code for e in calls_ if e.error_code))
        rehearsed = failed and all(e.error_code == REHEARSED for e in calls_)
        via = listed(dict.fromkeys(e.principal.invoked_by for e in calls_ if e.principal.invoked_by))
        parts = [
            f"{calls(len(calls_))} of {listed(dict.fromkeys(e.name for e in calls_))}"
            + (f", {'a rehearsal (DryRun)' if rehearsed else f'refused with {errors}'}" if failed else ""),
            *dict.fromkeys(judged[2] for _, judged in members if judged[2]),
            f"from {where_from(calls_)}",
            f"by {principal or 'nobody named'}",
            f"through {via}" if via else "",
            f"undone since by {listed(sorted(back))}" if back and not failed else "",
        ]
        yield found(
            severity,
            subject,
            f"{who(calls_[0])} {('rehearsed: ' if rehearsed else 'tried: ') if failed else ''}{did}",
            "; ".join(part for part in parts if part),
            change.remedy,
            calls_,
        )


def _undone(context: RuleContext, change: _Change) -> dict[tuple[str, str], datetime]:
    names = dict.fromkeys(name for undo in change.undo.values() for name in undo)
    if not names:
        return {}
    later, _ = context.changes(change.source, *names, terms=change.terms(context))
    return {
        (change.subject(e), e.name): e.time for e in later if not e.failed and _undoes(context, change, e)
    }


def _undoes(context: RuleContext, change: _Change, event: TrailEvent) -> bool:
    """The same call can do it and undo it: then it undoes where nothing, or little, is wrong with it."""
    both = event.name in change.undo.get(event.name, ())
    judged = change.judge(context, event) if both else None
    return judged is None or judged[0].rank >= Severity.LOW.rank
