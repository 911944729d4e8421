"""Calls that opened something under a guarded key without a receipt, once every caller writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.findings.registry import Facts, NoSigma, Said, rule
from crypto_core.findings.standards import CLOUD_ACCOUNTS, STEAL_TOKEN
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.rules.rule_context import RuleContext, calls, found, listed, name_of, short, where_from
from crypto_core.trail.store.history import Span, flag
from crypto_core.trail.store.receipt_questions import Allowance, Contradiction
from crypto_core.values.counts import counted

RULE = "decrypt-without-receipt"
_EXPLAINED, _UNEXPLAINED = flag("explained"), flag("explained", negated=True)
_MOST_LOOKED_AT = 2_000
"""Calls of one principal that are held one by one against what its processes say they lost."""
_BEFORE = timedelta(days=30)
"""So long before the moment from which all write receipts is looked for who wrote them already."""
_REMEDY = (
    "No process that writes receipts made these calls: treat what the caller may decrypt as opened. If it is "
    "a program of yours, switch its receipts on, and set receipts_complete_since to a time after that."
)


@dataclass(slots=True)
class _Excused:
    """Calls that may lack their receipts for a reason that the process itself told."""

    unanswered: int = 0
    lost: int = 0


@rule(
    RULE,
    "A guarded key decrypted without a receipt",
    Severity.CRITICAL,
    Facts.EVENTS,
    about="once receipts_complete_since is set; a receipt that CloudTrail contradicts explains nothing",
    techniques=(STEAL_TOKEN, CLOUD_ACCOUNTS),
    sigma=NoSigma("which calls have receipts is known to Keydeck's store alone"),
)
def decrypt_without_receipt(context: RuleContext) -> Said:
    """Yield who opened something under a guarded key without a receipt, and whose receipts don't count.

    Judged are calls from `receipts_complete_since` on, as long ago as late receipts may take. What a process
    says of lost receipts, or of attempts without an answer, excuses as many of its calls, and is a gap.
    """
    receipts = context.receipts
    if receipts is None:
        return
    if not context.keys.guarding:
        yield Gap(
            "Receipts: which keys guard tokens is not known, so no call is held against them", Severity.HIGH
        )
        return
    span = receipts.judged(context.window)
    if span is not None:
        yield from _without(context, span)
        yield from _of_new_writers(context, span)
        yield from _contradicted(context, span)
    yield from _not_judged(context)


def _without(context: RuleContext, span: Span) -> Said:
    terms = (*context.openings, _UNEXPLAINED)
    groups = context.history.groups(("principal",), terms, span)
    if not groups or context.receipts is None:
        return
    allowances = list(context.receipts.history.allowances(span))
    excused = _Excused()
    for group in groups:
        principal = group.values[0]
        events = context.history.events(
            context.of(principal, terms), span, limit=_MOST_LOOKED_AT, newest_first=False
        )
        left = list(_left(events, allowances, excused))
        number = group.events - len(events) + len(left)
        if number:
            yield _finding(context, principal, number, left)
    if excused.unanswered:
        yield Gap(
            f"Receipts: {calls(excused.unanswered)} may be attempts without an answer, which have none",
            Severity.LOW,
        )
    if excused.lost:
        yield Gap(
            f"Receipts: {calls(excused.lost)} have none, of times when the process lost receipts, as it says",
            Severity.HIGH,
        )


def _left(
    events: Sequence[TrailEvent], allowances: list[Allowance], excused: _Excused
) -> Iterator[TrailEvent]:
    """The calls that nothing excuses; each allowance is used up by as many calls as it is for."""
    used = [0] * len(allowances)
    for one in events:
        place = next((n for n, a in enumerate(allowances) if used[n] < a.calls and a.excuses(one)), None)
        if place is None:
            yield one
        elif allowances[place].lost:
            used[place] += 1
            excused.lost += 1
        else:
            used[place] += 1
            excused.unanswered += 1


def _finding(context: RuleContext, principal: str, number: int, events: Sequence[TrailEvent]) -> Finding:
    keys = dict.fromkeys(context.key(arn) for one in events for arn in one.key_arns[:1])
    names = listed(dict.fromkeys(one.name for one in events))
    return found(
        Severity.CRITICAL,
        principal,
        f"{name_of(principal)} opened something without a receipt",
        f"{calls(number)} of {names} under {listed(keys)} that no receipt explains; from "
        f"{where_from(events)}; by {principal}",
        _REMEDY,
        events,
    )


def _of_new_writers(context: RuleContext, span: Span) -> Said:
    """Receipts by whom none was known before: anybody who may write receipts may have made them up."""
    receipts = context.receipts
    if receipts is None:
        return
    terms = (*context.openings, _EXPLAINED)
    now = receipts.history.writers(terms, span)
    if not now:
        return
    begin = receipts.complete_since
    before = receipts.history.writers(terms, Span(begin - _BEFORE, begin))
    if not before:
        yield Gap(
            f"Receipts: the store has none of calls before {begin:%Y-%m-%d %H:%M} UTC, so who wrote them "
            "then is not known, and receipts of others can't be told apart",
            Severity.LOW,
        )
        return
    known = {writer.principal for writer in before}
    for writer, number in sorted(now.items(), key=lambda item: (item[0].principal, item[0].role)):
        if writer in before:
            continue
        events = context.evidence(writer.principal, terms, span)
        by = f"database role {writer.role}" if writer.role else "a file"
        what = "by another writer than before" if writer.principal in known else "before which it had none"
        yield found(
            Severity.CRITICAL,
            writer.principal,
            f"{name_of(writer.principal)} has receipts {what}",
            f"Receipts of {calls(number)}, written through {by}, are the first of their kind since before "
            f"{begin:%Y-%m-%d %H:%M} UTC; from {where_from(events)}; by {writer.principal}",
            "Whoever may write receipts can make them up, so these explain nothing yet. If a program of "
            "yours began to write them so, set receipts_complete_since to a time after that.",
            events,
        )


def _contradicted(context: RuleContext, span: Span) -> Said:
    by: dict[tuple[str, str], list[tuple[Contradiction, TrailEvent]]] = {}
    for one, event in context.receipts.history.contradictions(span) if context.receipts else ():
        by.setdefault((one.service, one.host), []).append((one, event))
    for (service, host), some in by.items():
        first, event = some[0]
        yield found(
            Severity.HIGH,
            event.principal.arn,
            f"Receipts of {short(service) or 'a service'} on {short(host) or 'a host'} contradict CloudTrail",
            f"{counted(len(some), 'receipt')}: the first tells {first.told} at "
            f"{first.told_at:%Y-%m-%d %H:%M:%S} UTC, CloudTrail's record of its request id "
            f"{first.called} at {first.called_at:%Y-%m-%d %H:%M:%S} UTC; process {first.pid}",
            "They explain nothing. A clock is wrong by minutes, or somebody made them up: find out who may "
            "write receipts there.",
            [event for _, event in some],
        )


def _not_judged(context: RuleContext) -> Said:
    """Unexplained calls that are old enough, and whose receipts may not have been taken in."""
    receipts = context.receipts
    span = receipts.waiting(context.window) if receipts is not None else None
    if receipts is None or span is None:
        return
    waiting = sum(
        group.events
        for group in context.history.groups(("principal",), (*context.openings, _UNEXPLAINED), span)
    )
    if waiting:
        until = (
            f"reach until {receipts.reached:%Y-%m-%d %H:%M} UTC"
            if receipts.reached
            else "were never taken in"
        )
        yield Gap(
            f"Receipts: they {until}: {calls(waiting)} since then have none, and are not judged. keydeck "
            "events pull takes in those of the table, keydeck events receipts PATH those of files",
            Severity.CRITICAL,
        )
