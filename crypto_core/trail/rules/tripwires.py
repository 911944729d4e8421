"""A decoy was opened: nobody legitimate does that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crypto_core.findings.finding import Severity
from crypto_core.findings.registry import Facts, NoSigma, Said, rule
from crypto_core.findings.standards import CLOUD_SECRETS, STEAL_TOKEN
from crypto_core.lists.filter_language import Term
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.rules.rule_context import (
    OF_KMS,
    RuleContext,
    calls,
    found,
    listed,
    name_of,
    where_from,
)
from crypto_core.trail.rules.watched_keys import one_of
from crypto_core.trail.store.history import has

_OPENS = ("Decrypt", "ReEncrypt")


@rule(
    "event-tripwire-opened",
    "A decoy of a tripwire was opened",
    Severity.CRITICAL,
    Facts.EVENTS,
    about="also one that KMS refused to open, which is high",
    techniques=(STEAL_TOKEN, CLOUD_SECRETS),
    sigma=NoSigma("which keys and rows are decoys stands in a sealed list, and an export would tell it"),
)
def tripwire_opened(context: RuleContext) -> Said:
    """Yield who opened a decoy, or tried to: anything under a tripwire's own key, or a v2 decoy's row.

    It tells of whoever holds a copy of the database. A finding is about the key under which the principal
    opened most tokens, so that an incident is declared about that one.
    """
    tripped: dict[str, list[tuple[int, tuple[Term, ...]]]] = {}
    for number, terms in _wires(context):
        for group in context.history.groups(("principal",), terms, context.window):
            tripped.setdefault(group.values[0], []).append((number, terms))
    for principal, wires in tripped.items():
        yield from _said_of(context, principal, wires)


def _wires(context: RuleContext) -> Iterator[tuple[int, tuple[Term, ...]]]:
    opens = (OF_KMS, has("name", *_OPENS))
    decoys = context.decoys
    keys: dict[int, set[str]] = {}
    refs: dict[int, set[str]] = {}
    for arn, number in decoys.former:
        keys.setdefault(number, set()).add(arn)
    for decoy in decoys.rows:
        # A key under which tokens are is used all day: there only the row tells.
        if not decoy.format.binds_row or not (context.keys.guards([decoy.key_arn])):
            keys.setdefault(decoy.tripwire, set()).add(decoy.key_arn)
        if decoy.format.binds_row:
            refs.setdefault(decoy.tripwire, set()).update(map(str, decoy.refs))
    for number, arns in sorted(keys.items()):
        if own := sorted(arn for arn in arns if not one_of(arn, context.keys.guarding)):
            yield number, (*opens, has("key", *own))
    for number, named in sorted(refs.items()):
        yield number, (*opens, has("token", *sorted(named)))


def _said_of(context: RuleContext, principal: str, wires: Sequence[tuple[int, tuple[Term, ...]]]) -> Said:
    groups = [
        group
        for _, terms in wires
        for group in context.history.groups(("name", "error"), context.of(principal, terms), context.window)
    ]
    done = sum(g.events for g in groups if not g.values[1])
    tried = sum(g.events for g in groups if g.values[1])
    events: list[TrailEvent] = []
    for _, terms in wires:
        events += context.evidence(principal, terms)
    events.sort(key=lambda event: event.time)
    key, opened = _most_opened(context, principal)
    numbers = listed([str(number) for number in dict.fromkeys(number for number, _ in wires)])
    refused = listed(dict.fromkeys(e for g in groups if (e := g.values[1])))
    beside = f"; besides, {calls(opened)} under {context.key(key)}" if opened else ""
    yield found(
        Severity.CRITICAL if done else Severity.HIGH,
        key or principal,
        f"{name_of(principal)} {'opened' if done else 'tried to open'} a decoy of tripwire {numbers}",
        f"{calls(done)} that succeeded"
        + (f", {tried:,} that failed ({refused})" if tried else "")
        + f": {listed(dict.fromkeys(g.values[0] for g in groups))} from {where_from(events)}, agent "
        + listed(dict.fromkeys(e.user_agent for e in events if e.user_agent), 2)
        + (f", first at {events[0].time:%Y-%m-%d %H:%M:%S} UTC" if events else "")
        + f"; by {principal}{beside}",
        "Nobody legitimate opens a decoy: whoever does has a copy of the table and reads all of it. Declare "
        "a key compromise; every token of that copy that this principal could open is lost.",
        events,
    )


def _most_opened(context: RuleContext, principal: str) -> tuple[str, int]:
    """The key of tokens under which a principal opened most, and how often; else the key written under."""
    counted = {
        arn: group.events
        for group in reversed(
            context.history.groups(("key",), context.of(principal, context.openings), context.window)
        )
        for arn in group.values[0].split(" ")
        if one_of(arn, context.keys.guarding)
    }
    if counted:
        most = max(counted, key=lambda arn: counted[arn])
        return most, counted[most]
    return (next(iter(context.keys.writing)), 0) if len(context.keys.writing) == 1 else ("", 0)
