"""A token's timeline: who opened it, as far as CloudTrail can tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from textual.content import Content

from crypto_core.keys.key_uses import MAKES, READS, REWRAPS
from crypto_core.trail.store.tallies import EventTally
from crypto_core.trail.use.named_use import NamedUse
from crypto_core.trail.use.receipt_coverage import ReceiptedUse
from crypto_core.trail.use.token_timeline import (
    BY_TIME,
    Doing,
    MaterialUse,
    TokenDeed,
    TokenTimeline,
    TokenUse,
    UseCertainty,
)
from crypto_core.trail.use.tokens import joined
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import CleanText
from crypto_core.values.counts import counted
from crypto_core.values.references import TokenRef
from screens.answer_screen import UseScreen
from screens.event_filters import term
from screens.facts import ScreenFacts
from screens.moments import ago, clock_time, stamp
from screens.routes import EventRoute, EventsRoute, KeyRoute, TokensRoute
from screens.use import lines
from screens.use.lines import BLANK, POSSIBLE, TIME_CELLS, gap_lines, prose
from screens.widgets.cells import cut, fit
from screens.widgets.line_list import Line, line

_DONE = {"opened": READS, "rewraps": REWRAPS, "sealed": MAKES}
"""What was done with a token, by the calls that do it."""
EITHER = "Enter: these calls. Each opened this token, or another one."


def token_lines(
    answer: TokenTimeline, width: int, facts: ScreenFacts, provider: Iterable[Line] = ()
) -> Iterator[Line]:
    """Yield the page: how the token is stored, then facts, possibilities and gaps.

    `provider` is what its provider says, which stands before the details of CloudTrail.
    """
    yield from _stored(answer, width, facts)
    yield _exact(answer.named, width, facts)
    if answer.receipted is not None:
        yield _by_receipt(answer.receipted, width, facts)
    if answer.could:
        yield _possible(answer.could, width, facts)
    yield lines.BLANK
    for statement in answer.statements:
        yield from lines.prose(statement, width)
    yield from lines.gap_lines(answer.coverage, width)
    yield from provider
    if answer.named.events:
        yield lines.BLANK
        words = f"Exact: {counted(answer.named.events, 'event')} with its name"
        yield from _named(answer.named, words, width, facts)
    if answer.receipted is not None and answer.receipted.use.events:
        yield lines.BLANK
        use = answer.receipted.use
        words = f"By receipt: {counted(use.events, 'event')} of which the caller wrote down the token"
        yield from _named(use, words, width, facts)
    for could in answer.could:
        yield lines.BLANK
        yield from _could(could, width, facts)
    if answer.named.days:
        yield lines.BLANK
        yield from lines.day_lines(answer.named.days, answer.named.filter, width)


def _stored(answer: TokenTimeline, width: int, facts: ScreenFacts) -> Iterator[Line]:
    ref, row = str(answer.ref), answer.stored
    route = TokensRoute(f'reference:"{ref}"') if '"' not in ref else None
    yield lines.fact("token", ref, width, target=route, hint="Enter: the connection.", whole_end=True)
    if row is None:
        yield lines.fact("stored as", "not known", width, style="$warning")
        return
    if not row.format.protected:
        yield lines.fact("stored as", row.format.value, width)
    else:
        generation = facts.key_words.generation(row.key_arn, row.key_material_id)
        words = [
            row.format.value,
            f"under {facts.key_words.long(row.key_arn)}",
            *([f"material {generation}"] if generation else []),
            f"({row.evidence.value})",
        ]
        target = KeyRoute(row.key_arn) if row.key_arn else None
        yield lines.fact("stored as", " ".join(words), width, target=target, hint="Enter: the key.")
    if row.created_at is not None:
        now = facts.clock()
        words_ = f"{stamp(row.created_at, now)}, {ago(row.created_at, now)}"
        yield lines.fact("connected", words_, width)


def _exact(named: NamedUse, width: int, facts: ScreenFacts) -> Line:
    if not named.events:
        return lines.fact("exact", "no event names this token", width, style="$muted")
    rewrapped = f"rewrapped {named.rewrapped:,}×, " if named.rewrapped else ""
    counts = f"opened {named.opened:,}×, {rewrapped}sealed {named.sealed:,}×, failed {named.failed:,}×"
    seen = lines.span_words(named.first, named.last, facts.clock())
    return lines.fact("exact", f"{counts}   {seen}", width, target=EventsRoute(named.filter))


def _by_receipt(found: ReceiptedUse, width: int, facts: ScreenFacts) -> Line:
    use = found.use
    if not use.events:
        return lines.fact("by receipt", "no receipt is about this token", width, style="$muted")
    rewrapped = f"rewrapped {use.rewrapped:,}×, " if use.rewrapped else ""
    counts = f"opened {use.opened:,}×, {rewrapped}sealed {use.sealed:,}×"
    seen = lines.span_words(use.first, use.last, facts.clock())
    return lines.fact("by receipt", f"{counts}   {seen}", width, target=EventsRoute(use.filter))


def _possible(could: Sequence[MaterialUse], width: int, facts: ScreenFacts) -> Line:
    calls = sum(use.calls for use in could)
    if not calls:
        return lines.fact(
            "possible", "no call could have opened it, of those in the store", width, style="$muted"
        )
    last = max(use.last for use in could if use.last is not None)
    words = f"{counted(calls, 'call')} could have opened it, last {lines.moment_words(last, facts.clock())}"
    return lines.fact("possible", words, width, style="$warning")


def _named(named: NamedUse, words: str, width: int, facts: ScreenFacts) -> Iterator[Line]:
    """Facts: each of these events, or a receipt of it, names the token."""
    yield Line(Content.assemble((words, "bold")), EventsRoute(named.filter), lines.THESE)
    yield from _by_principal(named, width, facts)
    yield lines.BLANK

    def words_of(row: EventTally) -> str:
        name, principal, ip, error = row.texts
        parts = [name, lines.who(principal), f"from {ip or '-'}", *([error] if error else [])]
        return "  ".join(parts)

    yield from lines.group_lines("By operation and address", named.rows, words_of, named.filter, width, facts)


def _by_principal(named: NamedUse, width: int, facts: ScreenFacts) -> Iterator[Line]:
    together: dict[CleanText, EventTally] = {}
    done: dict[str, dict[CleanText, int]] = {word: {} for word in _DONE}
    for row in named.rows.rows:
        name, arn = row.texts[0], row.texts[1]
        together[arn] = joined(together.get(arn), replace(row, texts=(arn,)))
        for word, names in _DONE.items():
            done[word][arn] = done[word].get(arn, 0) + (row.done if name in names else 0)
    shown = [word for word in _DONE if word != "rewraps" or named.rewrapped]
    yield lines.heading("By principal", width, *shown, "failed")
    for arn, tally in sorted(together.items(), key=lambda item: (-item[1].events, item[0])):
        yield lines.counted_line(
            lines.who(arn),
            [
                *((f"{n:,}", _count_style(word, n)) for word in shown for n in [done[word][arn]]),
                lines.failed_words(tally.failed),
            ],
            (tally.first, tally.last),
            width,
            facts,
            target=EventsRoute(lines.narrowed(named.filter, ("principal",), (arn,))),
            hint=f"Enter: what it did with this token. {arn}",
        )
    if named.rows.others:
        words = f"  … of the {len(named.rows.rows):,} most common groups; there are more, below"
        yield Line(Content.assemble((words, "$muted")))


def _count_style(word: str, number: int) -> str:
    if word == "opened":
        return "bold"
    return "" if number else "$muted"


def _could(use: MaterialUse, width: int, facts: ScreenFacts) -> Iterator[Line]:
    """What could have been: none of these calls names the token."""
    generation = facts.key_words.generation(use.key_arn, use.key_material_id)
    material = f" material {generation}" if generation else ""
    until = f", until {stamp(use.replaced_at, facts.clock())}" if use.replaced_at else ""
    title = f"Possible, never certain: calls under {facts.key_words.long(use.key_arn)}{material}{until}"
    for number, part in enumerate(lines.prose(title, width, style="bold $warning")):
        yield part if number else replace(part, target=EventsRoute(use.filter), hint=EITHER)
    if not use.by:
        none = "No call in the store opened anything under it without naming a token."
        yield from lines.prose(none, width, style="$muted")
        return
    yield lines.heading("By principal", width, "calls")
    for tally in use.by:
        arn = tally.texts[0]
        value = f" {term('principal', arn)}" if arn else " -principal:*"
        yield lines.counted_line(
            lines.who(arn),
            [(f"{tally.events:,}", "bold")],
            (tally.first, tally.last),
            width,
            facts,
            lead=lines.POSSIBLE,
            target=EventsRoute(use.filter + value),
            hint=f"{EITHER} {arn}",
        )


_OLD, _THEFT = "old token", "thief?"
_MARK_CELLS = 11


@dataclass(frozen=True, slots=True)
class OpenedAndUsed:
    """What CloudTrail tells of a token and, where audit logs can be asked, what its provider does."""

    timeline: TokenTimeline
    use: TokenUse | None


class TokenScreen(UseScreen[OpenedAndUsed]):
    """Exact for v2. Of a v1 token it shows what could have opened it, set apart: no record names it."""

    NAME = "timeline"
    ASKING = "Counting the token's events…"

    def __init__(self, facts: ScreenFacts, ref: TokenRef) -> None:
        super().__init__(facts)
        self._ref = ref

    @property
    def crumb(self) -> tuple[str, str]:
        return "Timeline", str(self._ref)

    def ask_for(self, cancelled: Cancellation) -> OpenedAndUsed:
        """Count the events that name it, and those that could be about it; and find what was done with it."""
        services = self.facts.services
        timeline = services.event_use.token_timeline(self._ref, cancelled=cancelled)
        uses = services.named("token_uses")
        use = None if uses is None else uses.use_of(timeline, cancelled=cancelled)
        return OpenedAndUsed(timeline, use)

    def lines(self, answer: OpenedAndUsed, width: int) -> Iterable[Line]:
        missing = self.facts.services.not_installed("provider", "keydeck events")
        use: Iterable[Line] = ()
        if answer.use is not None:
            use = use_lines(answer.use, width, self.facts)
        elif missing:
            use = (BLANK, *prose(f"▲ What was done with it is not known: {missing}", width, style="$warning"))
        return token_lines(answer.timeline, width, self.facts, use)


def use_lines(answer: TokenUse, width: int, facts: ScreenFacts) -> Iterator[Line]:
    """Yield what was done with a token, in one list with who opened it, the newest first."""
    yield BLANK
    title = (
        f"Opened and used: used {counted(answer.used, 'time')}, "
        f"may have been used {counted(answer.may_have_used, 'time')}"
    )
    yield Line(Content.assemble((title, "bold")))
    for statement in answer.statements:
        if statement == BY_TIME:
            yield from prose(statement, width, style="$muted")
        else:
            yield from prose(statement, width, lead="✖ ", lead_style="$error")
    marks = _MARK_CELLS if answer.thefts else 0
    for deed in reversed(answer.deeds):
        yield _deed_line(deed, marks, width, facts)
    if answer.left_out:
        words = f"  … and {answer.left_out:,} older: keydeck events token '{answer.ref}' --json"
        yield Line(Content.assemble((words, "$muted")))
    yield from gap_lines(answer.coverage, width)


def _deed_line(deed: TokenDeed, marks: int, width: int, facts: ScreenFacts) -> Line:
    mark = _OLD if deed.old else (_THEFT if deed.theft else "")
    style = "$error" if mark else ("bold" if deed.doing is Doing.USED else "")
    target = EventRoute(deed.event_id) if deed.doing is Doing.OPENED else None
    room = max(width - 2 - TIME_CELLS - 2 - marks, 10)
    return line(
        (fit("" if deed.certainty is UseCertainty.FACT else POSSIBLE, 2), "$warning"),
        (fit(clock_time(deed.at, facts.clock()), TIME_CELLS) + "  ", "$muted"),
        (fit(mark, marks), "$error"),
        (cut(deed.words, room), style),
        target=target,
        hint=f"Enter: the event. {deed.reason}" if target is not None else "",
    )
