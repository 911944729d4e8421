"""keydeck events token, keydeck events principal: facts, and possible use apart from them."""

from __future__ import annotations

import shlex
from typing import Any

import click

from console.capabilities import not_installed
from console.commands.events_options import HEADERS, cells
from console.commands.output_options import json_option
from console.commands.session import services_of
from console.completion.offers import token_references
from console.host.interrupts import cancelled_by_interrupt
from console.printed.output import print_facts, print_gaps, print_json, print_line, print_table, say, utc
from crypto_core.lists.paging import Query
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.tallies import Tallies
from crypto_core.trail.use.radius import BlastRadius, tokens_of
from crypto_core.trail.use.reach import at
from crypto_core.trail.use.receipt_coverage import ReceiptedTokens, ReceiptedUse
from crypto_core.trail.use.token_timeline import MaterialUse, TokenTimeline, TokenUse
from crypto_core.values.counts import counted
from crypto_core.values.key_names import short_key
from crypto_core.values.references import TokenRef, parse_reference

NEWEST = 20
"""Events that are listed of a token; keydeck events list has them all."""
MOST_RECEIPTED = 100
"""Tokens by receipt that are printed as text."""
_STOP = "Stopping."


@click.command()
@click.argument("reference", shell_complete=token_references)
@json_option
def token(*, reference: str, as_json: bool) -> None:
    """Who opened one token, according to CloudTrail and receipts, and what was done with it afterwards.

    REFERENCE is table.column:row-id, or table:row-id for every token of a row. For a v2 token this is
    exact: its records name the row. No record names a v1 token: where the caller wrote receipts, these name
    it, and the answer says for whom and which times they cover. The other calls that could have opened it
    are listed apart. Openings and uses stand in one list, in the order of time: what GitHub's log names by
    the token's hash is a fact, what was done in its Slack workspace or on its Atlassian site a possibility.
    """
    parsed = parse_reference(reference)
    with services_of() as services, cancelled_by_interrupt(_STOP) as cancelled:
        refs = (parsed,) if isinstance(parsed, TokenRef) else services.catalogue().references(parsed)
        found = [services.services.event_use.token_timeline(ref, cancelled=cancelled) for ref in refs]
        asked = services.services.named("token_uses")
        judge = None if asked is None else asked.judge(cancelled=cancelled)
        uses: list[Any] = [judge and asked.use_of(one, judge, cancelled=cancelled) for one in found]
        if not as_json:
            for number, timeline in enumerate(found):
                if number:
                    click.echo()
                _print_timeline(timeline, _named_events(services.trail.events, timeline))
                if judge is not None:
                    _print_use(uses[number])
        if judge is None:
            say(f"What was done with it is not known: {not_installed('provider', 'keydeck events')}")
        if not as_json:
            return
    told = zip(found, uses, strict=True)
    documents = [one.as_json() | ({"use": use.as_json()} if use is not None else {}) for one, use in told]
    print_json(documents[0] if isinstance(parsed, TokenRef) else {"tokens": documents})


@click.command()
@click.argument("name")
@json_option
def principal(*, name: str, as_json: bool) -> None:
    """Which tokens a principal opened, and which it could have opened.

    NAME is its ARN, the ARN of a role's session, or a part of the ARN such as role/platform or intruder.
    """
    with services_of() as services, cancelled_by_interrupt(_STOP) as cancelled:
        radius = services.services.event_use.blast_radius(name, cancelled=cancelled)
    if as_json:
        print_json(radius.as_json())
        return
    _print_radius(radius)


def _named_events(events: EventStore, timeline: TokenTimeline) -> list[TrailEvent]:
    """The newest events that name the token itself: filters don't tell upper from lower case."""
    if not timeline.named.events:
        return []
    page = events.page(Query(timeline.named.filter, "time", descending=True), limit=NEWEST * 5)
    return [s.event for s in page.rows if str(s.event.token_ref) == str(timeline.ref)][:NEWEST]


def _print_timeline(timeline: TokenTimeline, newest: list[TrailEvent]) -> None:
    row, named = timeline.stored, timeline.named
    print_facts(
        (
            ("token", str(timeline.ref)),
            ("stored as", row.format.value if row else "not known"),
            ("KMS key", (row.key_arn or "not known") if row and row.format.protected else "-"),
            ("key material", (row.key_material_id or "not known") if row and row.format.protected else "-"),
            ("evidence", row.evidence.value if row and row.format.protected else "-"),
            ("connection made", at(row.created_at) if row else "?"),
        )
    )
    for statement in timeline.statements:
        print_line(statement)
    if named.events:
        rewrapped = f"rewrapped {named.rewrapped:,}×, " if named.rewrapped else ""
        click.echo()
        click.echo(
            f"exact: {counted(named.events, 'event')} with its name: opened {named.opened:,}×, "
            f"{rewrapped}sealed {named.sealed:,}×, failed {named.failed:,}×; "
            f"first {at(named.first)}, last {at(named.last)}"
        )
        _print_tallies(named.rows, ("operation", "principal", "from", "error"))
        click.echo()
        print_table(HEADERS, [cells(event) for event in newest])
        if named.events > len(newest):
            shown = f"{len(newest):,} of {named.events:,} events"
            say(f"{shown}: keydeck events list --all --filter {_quoted(named.filter)}")
    if timeline.receipted is not None and timeline.receipted.use.events:
        click.echo()
        _print_receipted(timeline.receipted)
    for use in timeline.could:
        click.echo()
        _print_could(use)
    print_gaps(timeline.coverage.reasons)


def _print_receipted(found: ReceiptedUse) -> None:
    use = found.use
    rewrapped = f"rewrapped {use.rewrapped:,}×, " if use.rewrapped else ""
    click.echo(
        f"by receipt: {counted(use.events, 'event')} that a receipt names it of: opened {use.opened:,}×, "
        f"{rewrapped}sealed {use.sealed:,}×; first {at(use.first)}, last {at(use.last)}"
    )
    _print_tallies(use.rows, ("operation", "principal", "from", "error"))
    say(f"These events: keydeck events list --all --filter {_quoted(use.filter)}")


def _print_use(use: TokenUse) -> None:
    if use.deeds:
        click.echo()
        click.echo(
            f"opened and used, in order: used {counted(use.used, 'time')}, may have been used "
            f"{counted(use.may_have_used, 'time')}, {len(use.thefts):,} look like a thief's"
        )
        rows = [
            (
                utc(one.at),
                one.certainty.value,
                one.words,
                "OLD TOKEN" if one.old else ("!" if one.theft else ""),
            )
            for one in use.deeds
        ]
        print_table(("time", "is a", "what", ""), rows)
        if use.left_out:
            say(f"{use.left_out:,} older ones are not listed.")
    for statement in use.statements:
        print_line(statement)
    print_gaps(use.coverage.reasons)


def _print_could(use: MaterialUse) -> None:
    material = f" material {use.key_material_id[:8]}" if use.key_material_id else ""
    click.echo(
        f"could have opened it (v1, never exact): {counted(use.calls, 'call')} under "
        f"{use.key_arn}{material}; first {at(use.first)}, last {at(use.last)}"
    )
    rows = [(t.texts[0], t.events, at(t.first), at(t.last)) for t in use.by]
    if rows:
        print_table(("principal", "calls", "first", "last"), rows)


def _print_radius(radius: BlastRadius) -> None:
    who = radius.who
    names = ", ".join(who.arns) or "no principal in the store"
    print_facts(
        (
            ("principal", f"{names}{f' and {who.further:,} more' if who.further else ''}"),
            ("session", who.session or "all"),
            ("events", f"{radius.events:,}, of them failed {radius.failed:,}, denied {radius.denied:,}"),
            ("first", at(radius.first)),
            ("last", at(radius.last)),
        )
    )
    click.echo()
    click.echo(f"opened (facts, named by their records): {counted(tokens_of(radius.opened), 'token')}")
    _print_tallies(radius.opened, ("token",))
    _print_receipted_tokens(radius.receipted)
    for found, word in (
        (radius.rewrapped, "rewrapped under another key"),
        (radius.sealed, "sealed"),
        (radius.tried, "tried, and not opened"),
    ):
        if found.rows:
            click.echo(f"{word}: {counted(tokens_of(found), 'token')}")
            _print_tallies(found, ("token",))
    click.echo()
    reach = radius.tokens_reachable
    count = "not counted" if reach is None else counted(reach, "token")
    most = radius.opened_at_most
    at_most = "" if most is None else f"; these opened at most {most:,} of them"
    click.echo(
        f"could have opened (v1, never exact): {count}, "
        f"by {counted(radius.calls, 'call')} that no record or receipt ties to a token{at_most}"
    )
    if radius.could:
        rows = [
            (
                one.key_arn,
                (one.key_material_id or "any")[:8],
                one.calls,
                "?" if one.tokens is None else one.tokens,
                one.untold,
                at(one.first),
                at(one.last),
            )
            for one in radius.could
        ]
        headers = ("key", "material", "calls", "tokens", "and of untold material", "first", "last")
        print_table(headers, rows)
        for one in radius.could:
            which = f"{short_key(one.key_arn)} {(one.key_material_id or '')[:8]}".rstrip()
            click.echo(f"{which}: keydeck connections --filter {_quoted(one.filter)}")
            if one.backups:
                click.echo(f"{which}: Keydeck keeps {counted(one.backups, 'replaced envelope')} under it")
    for title, found, headers_ in (
        ("what it did", radius.operations, ("operation", "error")),
        ("from", radius.addresses, ("address",)),
        ("with", radius.agents, ("user agent",)),
        ("sessions", radius.sessions, ("session",)),
        ("access keys", radius.access_keys, ("access key",)),
    ):
        click.echo()
        click.echo(f"{title}:")
        _print_tallies(found, headers_)
    click.echo()
    for assumption in radius.assumptions():
        print_line(assumption)
    print_gaps(radius.coverage.reasons)


def _print_receipted_tokens(found: ReceiptedTokens) -> None:
    if not found.calls:
        return
    click.echo(
        f"opened by receipt (facts, named by their callers): {counted(len(found.references), 'token')}, "
        f"by {counted(found.calls, 'call')}"
    )
    rows = [
        (str(one.ref), one.calls, "an older value" if one.older else "", at(one.first), at(one.last))
        for one in found.tokens[:MOST_RECEIPTED]
    ]
    if rows:
        print_table(("token", "calls", "of", "first", "last"), rows)
    if len(found.tokens) > MOST_RECEIPTED:
        say(f"And {counted(len(found.tokens) - MOST_RECEIPTED, 'further token')}. --json names all.")


def _print_tallies(found: Tallies, headers: tuple[str, ...]) -> None:
    if not found.rows:
        return
    rows = [
        (*(text or "-" for text in row.texts), row.events, row.failed, at(row.first), at(row.last))
        for row in found.rows
    ]
    print_table((*headers, "events", "failed", "first", "last"), rows)
    if found.others:
        click.echo(f"and {found.others:,} more, with {counted(found.rest, 'event')}")


def _quoted(text: str) -> str:
    """A text as one word of a shell: it holds what others wrote."""
    return shlex.quote(text)
