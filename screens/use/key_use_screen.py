"""A key's use: by operation, principal and material, all its Regions together and apart, day by day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crypto_core.trail.store.tallies import EventTally
from crypto_core.trail.use.filter_builder import term
from crypto_core.trail.use.keys import KeyUseSummary
from crypto_core.trail.use.tokens import OPENED
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import shortened
from crypto_core.values.counts import counted
from screens.answer_screen import UseScreen
from screens.facts import ScreenFacts
from screens.routes import EventsRoute, KeyRoute
from screens.use.lines import BLANK, day_lines, fact, gap_lines, group_lines, group_text, span_words, who
from screens.widgets.line_list import Line, line


class KeyUseScreen(UseScreen[KeyUseSummary]):
    """A multi-Region key's replicas are one key here, and are told apart below."""

    NAME = "use"
    ASKING = "Counting the key's events…"

    def __init__(self, facts: ScreenFacts, key_arn: str) -> None:
        super().__init__(facts)
        self._key_arn = key_arn

    @property
    def crumb(self) -> tuple[str, str]:
        return "Use", self.facts.key_words.long(self._key_arn)

    def ask_for(self, cancelled: Cancellation) -> KeyUseSummary:
        return self.facts.services.event_use.key_use(self._key_arn, cancelled=cancelled)

    def lines(self, answer: KeyUseSummary, width: int) -> Iterable[Line]:
        return key_use_lines(answer, width, self.facts)


def key_use_lines(answer: KeyUseSummary, width: int, facts: ScreenFacts) -> Iterator[Line]:
    yield from _glance(answer, width, facts)
    if answer.coverage.reasons:
        yield BLANK
        yield from gap_lines(answer.coverage, width)
    if not answer.events:
        yield BLANK
        yield line(("No event in the store is about this key.", "$muted"))

    def material(row: EventTally) -> str:
        ids = [text for text in row.texts[0].split(" ") if text]
        if not ids:
            return "not in the record"
        arn = answer.keys.arns[0] if answer.keys.arns else None
        return "  ".join(f"material {facts.key_words.generation(arn, one)}" for one in ids)

    def replica(row: EventTally) -> str:
        arns = [text for text in row.texts[0].split(" ") if text]
        names = " → ".join(facts.key_words.long(arn) for arn in arns)
        return f"{shortened(row.texts[1], 60) or '-'}  {names or '-'}"

    for title, found, shown, more in (
        ("By operation", answer.operations, group_text, ""),
        ("By principal", answer.principals, lambda row: who(row.texts[0]), ""),
        ("By key material", answer.materials, material, ""),
        ("By error", answer.errors, group_text, " failed"),
        ("By Region and key", answer.replicas, replica, ""),
    ):
        if found.rows:
            yield BLANK
            yield from group_lines(title, found, shown, answer.filter + more, width, facts)
    if answer.days:
        yield BLANK
        yield from day_lines(answer.days, answer.filter, width)


def _glance(answer: KeyUseSummary, width: int, facts: ScreenFacts) -> Iterator[Line]:
    for place, arn in enumerate(answer.keys.arns or (answer.keys.name,)):
        target = KeyRoute(arn) if answer.keys.arns else None
        yield fact("" if place else "key", arn, width, target=target, hint="Enter: the key.", whole_end=True)
    if answer.keys.aliases:
        yield fact("called", ", ".join(answer.keys.aliases), width)
    events = EventsRoute(answer.filter) if answer.events else None
    outcome = f"{answer.events:,}, failed {answer.failed:,}, denied {answer.denied:,}"
    seen = f"   {span_words(answer.first, answer.last, facts.clock())}" if answer.events else ""
    yield fact("events", f"{outcome}{seen}", width, target=events)
    if answer.by_service:
        route = EventsRoute(f"{answer.filter} service")
        yield fact("of them", f"{answer.by_service:,} made by AWS services", width, target=route)
    if answer.explained is not None and answer.opened:
        share = f"{100 * answer.explained // answer.opened}%"
        words = f"explain {answer.explained:,} of {counted(answer.opened, 'opening')}, {share}"
        left = answer.opened - answer.explained
        without = EventsRoute(f"{answer.filter} {OPENED} -explained") if left else None
        style = "$warning" if left else "$success"
        yield fact("receipts", words, width, style=style, target=without, hint="Enter: those without.")
    if answer.by_alias:
        words = f"{counted(answer.by_alias, 'further event')} by alias alone, maybe of another key then"
        route = EventsRoute(term("key", *answer.keys.aliases))
        hint = "Enter: events with one of its aliases, these among them."
        yield fact("possible", words, width, style="$warning", target=route, hint=hint)
