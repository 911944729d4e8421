"""One key: what KMS says of it, the tokens under each of its materials, and these as a band over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import ClassVar

from textual.content import Content

from crypto_core.keys.dependent_copies import NeedingCopies
from crypto_core.keys.policy.policy_reader import KeyPolicy
from crypto_core.keys.posture.examination import Posture
from crypto_core.keys.state import KeyMaterial, KeyState
from crypto_core.keys.status import Status
from crypto_core.trail.store.tallies import EventTally
from crypto_core.trail.use.keys import KeyUseSummary
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from screens.answer_screen import AnswerScreen
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.key_shares import by_material
from screens.keys.detail import fact_lines, material_lines, missing_lines
from screens.keys.key_actor import KeyActor
from screens.keys.policy_screen import access_lines
from screens.moments import day
from screens.routes import EventsRoute, FindingsRoute, KeyUseRoute
from screens.services import Services
from screens.signs import SIGNS
from screens.use.lines import BLANK, NAME_CELLS, fact, moment_words, narrowed, prose, who
from screens.widgets.cells import bar, columns, cut, fit, fit_middle
from screens.widgets.line_list import Line, line
from screens.worker_calls import PendingCall, ask

NARROWEST = 5
"""Cells of the shortest piece: two for its ends, the rest for what it holds."""
_NOW = " now"


@dataclass(frozen=True, slots=True)
class Piece:
    """One stretch of the band: the materials from `first` to `last`, 1 being the key's first one."""

    first: int
    last: int
    since: datetime
    cells: int
    tokens: int | None
    """None before tokens were counted."""

    @property
    def name(self) -> str:
        """Its number, or its numbers where the older ones stand together."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def pieces(key: KeyState, counts: Mapping[str, int] | None, now: datetime, width: int) -> tuple[Piece, ...]:
    """Return the pieces of a band of `width` cells, the oldest first; none where nothing is known of time.

    Their lengths are as the times for which they were current, none below NARROWEST. Where there are more
    materials than fit, the oldest stand together. `counts` are the tokens by key material id.
    """
    dated = [(n, m, m.since) for n, m in enumerate(key.materials, start=1) if m.since is not None]
    dated = [(n, m, since) for n, m, since in dated if since <= now]
    room = width // NARROWEST
    if not dated or not room:
        return ()
    together = max(len(dated) - room, 0)
    groups = [dated[: together + 1], *([one] for one in dated[together + 1 :])]
    begins = [group[0][2] for group in groups]
    ends = [*begins[1:], now]
    lengths = _shared([end - begin for begin, end in zip(begins, ends, strict=True)], width)
    return tuple(
        Piece(group[0][0], group[-1][0], group[0][2], cells, _tokens([m for _, m, _ in group], counts))
        for group, cells in zip(groups, lengths, strict=True)
    )


def _tokens(materials: Sequence[KeyMaterial], counts: Mapping[str, int] | None) -> int | None:
    return None if counts is None else sum(counts.get(m.key_material_id, 0) for m in materials)


def _shared(times: Sequence[timedelta], width: int) -> list[int]:
    """Share cells out by time; each gets NARROWEST first, and together they are exactly `width`."""
    free = width - NARROWEST * len(times)
    whole = sum(times, timedelta()) or timedelta(seconds=1)
    cells, passed, given = [], timedelta(), 0
    for taken in times:
        passed += taken
        # Rounded where it ends, not by itself: so nothing is left over.
        end = round(free * (passed / whole))
        cells.append(NARROWEST + end - given)
        given = end
    cells[-1] += free - given
    return cells


def timeline(key: KeyState, status: Status | None, now: datetime, width: int) -> list[Content]:
    """Return the picture as lines of at most `width` cells: names, the band, tokens, dates. Maybe none."""
    counts: dict[str, int] | None = None
    if status is not None:
        shares = by_material(status.shares_under(key.key_arn))
        counts = {share.key_material_id: share.tokens for share in shares if share.key_material_id}
    band = pieces(key, counts, now, width - len(_NOW))
    if not band:
        return []
    fullest = max((piece.tokens or 0 for piece in band), default=0)
    return [
        Content.assemble(*((fit(f" {piece.name}", piece.cells), "bold") for piece in band)),
        Content.assemble(*(part for piece in band for part in _painted(piece, fullest)), (_NOW, "$muted")),
        Content.assemble(*((fit(f" {_count(piece)}", piece.cells), "") for piece in band)),
        Content.assemble((_dates(band, now, width), "$muted")),
    ]


def _painted(piece: Piece, fullest: int) -> tuple[tuple[str, str], ...]:
    inside = piece.cells - 2
    share = (piece.tokens or 0) / fullest if fullest else 0
    return ("▕", "$muted"), (bar(share, inside), "$accent"), ("▏", "$muted")


def _count(piece: Piece) -> str:
    if piece.tokens is None:
        return "?"
    if len(f" {piece.tokens:,}") < piece.cells:
        return f"{piece.tokens:,}"
    # A number that is cut is another number.
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if piece.tokens >= size:
            return f"{piece.tokens / size:.0f}{unit}"
    return str(piece.tokens)


def _dates(band: Sequence[Piece], now: datetime, width: int) -> str:
    """The days on which the pieces begin, those for which there is room beside the ones before."""
    line, at = "", 0
    for piece in band:
        words = day(piece.since, now)
        if not line or len(line) + 1 <= at:
            line = line.ljust(at + 1) + words
        at += piece.cells
    return line[:width]


MOST_ACCESSES = 7
"""How many lines who may use the key gets before the policy has to be opened."""
MOST_COPIES = 8
"""Copies that get a line; `keydeck copies list` has all."""
DAYS = 14
MOST_PRINCIPALS = 6
"""How many principals are named before the page about the key's use has to be opened."""


class KeyScreen(KeyActor, AnswerScreen[KeyState]):
    NAME = "key"
    EVERY = 60.0
    ACTS: ClassVar[tuple[str, ...]] = ("key",)

    def __init__(self, facts: ScreenFacts, key_arn: str) -> None:
        super().__init__(facts)
        self.key_arn = key_arn
        known = facts.key_words.find(key_arn)
        if known is not None:
            self.knows(known, facts.keys.at)
        self._policy: KeyPolicy | Failure | None = None
        self._policy_asked = False
        self._use: KeyUseSummary | None = None
        self._copies: NeedingCopies | None = None
        self._asked_use: PendingCall[KeyUseSummary | None] | None = None

    @property
    def crumb(self) -> tuple[str, str]:
        return "Key", self.facts.key_words.long(self.key_arn)

    @property
    def key_in_hand(self) -> str | None:
        return self.key_arn

    def ask_for(self, cancelled: Cancellation) -> KeyState:
        return self.facts.services.keys.show(self.key_arn)

    def ask_anew(self) -> None:
        if not self._policy_asked:
            self._policy_asked = True
            read = self.facts.services.policies.read
            ask(self, lambda _: read(self.key_arn), self._keep_policy, group="policy")
        register = self.facts.services.copy_register
        ask(self, lambda _: register.needing(self.key_arn), self._keep_copies, group="copies")
        if self._asked_use is None or not self._asked_use.waiting:
            services, now = self.facts.services, self.facts.clock()
            self._asked_use = ask(
                self,
                lambda cancelled: recent_use(services, self.key_arn, now, cancelled),
                self._keep_use,
                group="use",
            )
        super().ask_anew()

    def on_unmount(self) -> None:
        if self._asked_use is not None:
            self._asked_use.drop()

    def _keep_use(self, answer: KeyUseSummary | Failure | None) -> None:
        """Show how the key was used; trouble with the store is for the page about its use to tell."""
        if isinstance(answer, KeyUseSummary) and answer != self._use:
            self._use = answer
            if self.is_mounted:
                self.show_facts()

    def _keep_copies(self, answer: NeedingCopies | Failure) -> None:
        copies = NeedingCopies(unknown=answer.message) if isinstance(answer, Failure) else answer
        if copies != self._copies:
            self._copies = copies
            if self.is_mounted:
                self.show_facts()

    def _keep_policy(self, answer: KeyPolicy | Failure) -> None:
        """Keep who may use the key; after a failure the earlier answer stays."""
        self._policy_asked = False
        if not (isinstance(answer, Failure) and isinstance(self._policy, KeyPolicy)):
            self._policy = answer
        if self.is_mounted:
            self.show_facts()

    def lines(self, answer: KeyState, width: int) -> Iterable[Line]:
        status, now, use = self.facts.status.value, self.facts.clock(), self._use
        return (
            *fact_lines(answer, status, now, width),
            *((day_line(use, self.key_arn, now),) if use is not None else ()),
            *self._band(answer, status, now, width),
            BLANK,
            *material_lines(answer, status, now, width),
            BLANK,
            *(principal_lines(use, self.key_arn, width, self.facts) if use is not None else ()),
            *self._may_use(width),
            *finding_lines(answer, self.facts.posture.value, width),
            *copy_lines(self._copies, width),
            *missing_lines(answer, width),
        )

    def _band(self, key: KeyState, status: Status | None, now: datetime, width: int) -> Sequence[Line]:
        band = timeline(key, status, now, width - NAME_CELLS)
        names = ("", "material", "tokens", "since")
        lines = [
            line((fit(name, NAME_CELLS), "$muted"), content)
            for name, content in zip(names, band, strict=False)
        ]
        return [BLANK, *lines] if lines else []

    def _may_use(self, width: int) -> Sequence[Line]:
        match self._policy:
            case KeyPolicy():
                return access_lines(self._policy, width, MOST_ACCESSES)
            case Failure(message=message, remedy=remedy):
                words, style = f"not known: {message} {remedy}".strip(), "$warning"
            case _:
                words, style = "asking KMS…", "$muted"
        lead = fit("may use", NAME_CELLS)
        return list(prose(words, width, lead=lead, lead_style="$muted", style=style))


def copy_lines(copies: NeedingCopies | None, width: int) -> Iterator[Line]:
    """Yield what is known of copies that need the key; nothing before the register was read."""
    if copies is None:
        return
    yield BLANK
    told = list(copies.lines)
    style = "$warning" if copies.unknown or copies.needing or copies.doubtful else "$muted"
    for number, words in enumerate(told[:MOST_COPIES]):
        lead = fit("" if number else "copies", NAME_CELLS)
        yield from prose(words, width, lead=lead, lead_style="$muted", style=style)
    if len(told) > MOST_COPIES:
        yield fact("", f"{len(told) - MOST_COPIES:,} more: keydeck copies list", width, style="$muted")


def finding_lines(key: KeyState, posture: Posture | None, width: int) -> list[Line]:
    """Return a line for each finding about the key, and the way to them; or how to have them looked for."""
    route = FindingsRoute(f"subject:{key.key_arn.rpartition('/')[2]}")
    if posture is None:
        hint = "Enter: examine keys, access and trails."
        return [BLANK, fact("findings", "not examined yet", width, style="$muted", target=route, hint=hint)]
    about = [finding for finding in posture.findings if finding.subject == key.key_arn]
    if not about:
        return [BLANK, fact("findings", "none", width)]
    return [
        BLANK,
        *(
            line(
                (fit("" if number else "findings", NAME_CELLS), "$muted"),
                SIGNS[finding.severity],
                " ",
                cut(f"{finding.severity.value}  {finding.title}", width - NAME_CELLS - 2),
                target=route,
                hint=f"Enter: the findings. {finding.remedy}",
            )
            for number, finding in enumerate(about)
        ),
    ]


def recent_use(
    services: Services, key_arn: str, now: datetime, cancelled: Cancellation
) -> KeyUseSummary | None:
    """Return the use of the last 14 days, UTC; None without any event. Raises as EventUse.key_use."""
    if not services.events.state()[0]:
        return None
    since = datetime.combine(_days(now)[0], time(), UTC)
    return services.event_use.key_use(key_arn, since=since, cancelled=cancelled)


def _days(now: datetime) -> list[date]:
    today = now.astimezone(UTC).date()
    return [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]


def day_line(use: KeyUseSummary, key_arn: str, now: datetime) -> Line:
    events = {one.day: one.events for one in use.days}
    bars = columns([events.get(one, 0) for one in _days(now)], "·")
    parts: list[str | tuple[str, str]] = [(fit("used, 14 d", NAME_CELLS), "$muted"), (bars, "$accent")]
    parts += ["  ", (counted(use.events, "call"), "bold"), " · "]
    parts += [_denied(use.denied), f" · {use.failed:,} failed"]
    hint = "Enter: the key's whole use. A dot is a day without an event in the store."
    return line(*parts, target=KeyUseRoute(key_arn), hint=hint)


def principal_lines(use: KeyUseSummary, key_arn: str, width: int, facts: ScreenFacts) -> Iterator[Line]:
    """Yield a line for each principal with its calls, and what the events of these days don't cover."""
    route = KeyUseRoute(key_arn)
    for number, row in enumerate(use.principals.rows[:MOST_PRINCIPALS]):
        yield _principal("" if number else "used by", row, use, width, facts)
    left = len(use.principals.rows) + use.principals.others - MOST_PRINCIPALS
    if left > 0:
        words = f"… and {counted(left, 'more principal')}"
        yield fact("", words, width, style="$muted", target=route, hint="Enter: the key's whole use.")
    if use.coverage.reasons:
        words = f"▲ not all of these days is known: {use.coverage.reasons[0]}"
        yield line(" " * NAME_CELLS, (cut(words, width - NAME_CELLS), "$warning"))
    yield BLANK


def _denied(number: int) -> tuple[str, str]:
    return (f"✖ {number:,} denied", "$error") if number else ("0 denied", "")


def _principal(name: str, row: EventTally, use: KeyUseSummary, width: int, facts: ScreenFacts) -> Line:
    arn = row.texts[0]
    right = f"{row.events:>9,}  {'✖ ' if row.denied else '  '}{row.denied:,} denied"
    last = f"   last {moment_words(row.last, facts.clock())}"
    room = max(min(width - NAME_CELLS - len(right) - len(last), 60), 8)
    return line(
        (fit(name, NAME_CELLS), "$muted"),
        fit_middle(who(arn), room),
        (right, "$error" if row.denied else "$muted"),
        (last, "$muted"),
        target=EventsRoute(narrowed(use.filter, use.principals.fields, row.texts)),
        hint=f"Enter: these events. {arn}",
    )
