"""A principal's blast radius: the tokens that it opened, and apart from them what it could have opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from textual import work

from crypto_core.keys.changes.blocks import Block
from crypto_core.trail.use.radius import HANDED_OUT, BlastRadius, Reachable, tokens_of
from crypto_core.trail.use.tokens import READ, REWRAPPED, UNNAMED
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from screens.actions.action import Action
from screens.answer_screen import UseScreen
from screens.facts import ScreenFacts
from screens.key_changes.block_actor import BlockActor
from screens.key_changes.block_lines import SIGN, PageNames, block_words, blocks_of
from screens.routes import EventsRoute, TokensRoute
from screens.use.lines import (
    BLANK,
    POSSIBLE,
    counted_line,
    fact,
    gap_lines,
    group_lines,
    group_text,
    heading,
    prose,
    span_words,
    who,
)
from screens.widgets.line_list import Line, line

MOST_RECEIPTED = 200
"""Tokens by receipt that are listed one by one."""
ANY = "Enter: these tokens. It may have opened any of them; none is proven."


class PrincipalScreen(BlockActor, UseScreen[BlastRadius]):
    """Facts are the tokens that records name. Possible ones are counted by key material, "at most"."""

    NAME = "principal"
    EVERY = 300.0
    ACTS: ClassVar[tuple[str, ...]] = ("principal", "blocking")
    ASKING = "Counting what it opened, and the tokens that it could have opened…"

    def __init__(self, facts: ScreenFacts, arn: str) -> None:
        super().__init__(facts)
        self._arn = arn

    @property
    def crumb(self) -> tuple[str, str]:
        return "Principal", who(clean(self._arn))

    @property
    def named(self) -> PageNames:
        """The principal; its keys are those that it used."""
        return PageNames((self._arn,))

    def ask_for(self, cancelled: Cancellation) -> BlastRadius:
        return self.facts.services.event_use.blast_radius(self._arn, cancelled=cancelled)

    def lines(self, answer: BlastRadius, width: int) -> Iterable[Line]:
        return principal_lines(answer, blocks_of(self.facts, (self._arn,)), width, self.facts)

    def possible(self, action: Action) -> bool | None:
        """Before its events are counted it is not known since when."""
        possible = super().possible(action)
        return None if possible and action.scope == "principal" and self.answer is None else possible

    @work(exclusive=True, group="write")
    async def do_incident(self) -> None:
        from screens.incidents.about import about_principal
        from screens.incidents.declare import begin_incident

        if self.answer is not None:
            await begin_incident(self, about_principal(clean(self._arn, 700), self.answer.first))

    @property
    def shown_besides(self) -> object:
        """Who is blocked is on the page, too."""
        return self.facts.blocks.value


def principal_lines(
    answer: BlastRadius, blocks: Iterable[Block], width: int, facts: ScreenFacts
) -> Iterator[Line]:
    """Yield the page: at a glance, gaps, what could have been, facts token by token, how it worked."""
    yield from _glance(answer, width, facts)
    for block in blocks:
        yield from prose(block_words(block, facts), width, lead=f"{SIGN} ", lead_style="$success")
    if answer.coverage.reasons:
        yield BLANK
        yield from gap_lines(answer.coverage, width)
    if answer.could or answer.calls:
        yield BLANK
        yield from _could(answer, width, facts)
    by = answer.who.filter
    for title, found, more in (
        ("Opened, each named by its records", answer.opened, READ),
        ("Rewrapped under another key, not handed out", answer.rewrapped, REWRAPPED),
        ("Sealed: it had their data keys", answer.sealed, HANDED_OUT),
        ("Tried, and not opened", answer.tried, "failed"),
    ):
        if found.rows:
            yield BLANK
            yield from group_lines(title, found, group_text, f"{by} {more}", width, facts)
    if answer.receipted.tokens:
        yield BLANK
        yield from _receipted(answer, width, facts)
    for title, found in (
        ("What it did", answer.operations),
        ("From", answer.addresses),
        ("With", answer.agents),
        ("Sessions", answer.sessions),
        ("Access keys", answer.access_keys),
    ):
        if any(any(row.texts) for row in found.rows):
            yield BLANK
            yield from group_lines(title, found, group_text, by, width, facts)
    yield BLANK
    for assumption in answer.assumptions():
        yield from prose(assumption, width, lead="· ", lead_style="$muted", style="$muted")


def _glance(answer: BlastRadius, width: int, facts: ScreenFacts) -> Iterator[Line]:
    named, by = answer.who, EventsRoute(answer.who.filter)
    for place, arn in enumerate(named.arns or (named.name,)):
        yield fact("" if place else "principal", arn, width, style="bold", whole_end=True)
    if named.further:
        yield fact("", f"and {named.further:,} more", width)
    if named.session:
        yield fact("session", named.session, width)
    outcome = f", failed {answer.failed:,}, denied {answer.denied:,}"
    seen = span_words(answer.first, answer.last, facts.clock()) if answer.events else ""
    yield fact("events", f"{answer.events:,}{outcome}   {seen}", width, target=by)
    route = EventsRoute(f"{named.filter} {READ} token:*") if answer.opened.rows else None
    yield fact(
        "opened",
        f"{counted(tokens_of(answer.opened), 'token')}, each named by its records",
        width,
        target=route,
    )
    if answer.receipted.calls:
        tokens = counted(len(answer.receipted.references), "token")
        words = f"{tokens}, named by receipts of {counted(answer.receipted.calls, 'call')}"
        route = EventsRoute(f"{named.filter} {READ} -token:* receipt:*")
        yield fact("by receipt", words, width, target=route, hint="Enter: these calls.")
    if answer.calls:
        route = EventsRoute(f"{named.filter} {UNNAMED}")
        words = f"{_at_most(answer)}, by {counted(answer.calls, 'call')} naming none"
        yield fact("possible", words, width, style="$warning", target=route, hint="Enter: these calls.")


def _at_most(answer: BlastRadius) -> str:
    most, reach = answer.opened_at_most, answer.tokens_reachable
    if most is None or reach is None:
        return "of tokens that could not be counted"
    return f"at most {most:,} of {counted(reach, 'token')} in reach"


def _could(answer: BlastRadius, width: int, facts: ScreenFacts) -> Iterator[Line]:
    yield from prose(f"Possible, never certain: {_at_most(answer)}", width, style="bold $warning")
    if not answer.could:
        return
    yield heading("By key and material", width, "calls", "tokens")
    for one in answer.could:
        yield _reachable(one, width, facts)
        if one.untold:
            words = f"  and {counted(one.untold, 'token')} under this key, of unknown material"
            yield line((words, "$muted"))
        if one.backups:
            words = f"  and {counted(one.backups, 'replaced envelope')} under this key that Keydeck keeps"
            yield line((words, "$muted"))
    if answer.unknown_key:
        words = f"  and {counted(answer.unknown_key, 'v1 token')} whose key is not known"
        yield line((words, "$muted"), target=TokensRoute("format:v1 key:unknown"), hint=ANY)


def _receipted(answer: BlastRadius, width: int, facts: ScreenFacts) -> Iterator[Line]:
    yield heading("Opened, each named by receipts", width, "calls")
    tokens = answer.receipted.tokens
    for one in tokens[:MOST_RECEIPTED]:
        ref = str(one.ref)
        yield counted_line(
            f"{ref} (an older value)" if one.older else ref,
            [(f"{one.calls:,}", "bold")],
            (one.first, one.last),
            width,
            facts,
            target=TokensRoute(f'reference:"{ref}"') if '"' not in ref else None,
            hint="Enter: the connection.",
        )
    if len(tokens) > MOST_RECEIPTED:
        yield line((f"  … and {counted(len(tokens) - MOST_RECEIPTED, 'further token')}", "$muted"))


def _reachable(one: Reachable, width: int, facts: ScreenFacts) -> Line:
    generation = facts.key_words.generation(one.key_arn, one.key_material_id)
    label = f"{facts.key_words.long(one.key_arn)} · {generation or 'any material'}"
    tokens = "?" if one.tokens is None else f"{one.tokens:,}"
    return counted_line(
        label,
        [(f"{one.calls:,}", ""), (tokens, "bold")],
        (one.first, one.last),
        width,
        facts,
        lead=POSSIBLE,
        target=TokensRoute(one.filter),
        hint=f"{ANY} {one.key_arn}",
    )
