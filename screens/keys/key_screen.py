"""One key: what KMS says of it, its materials, and the tokens under each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import ClassVar

from crypto_core.keys.dependent_copies import NeedingCopies
from crypto_core.keys.policy.policy_reader import KeyPolicy
from crypto_core.keys.posture.examination import Posture
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import Status
from crypto_core.trail.store.tallies import EventTally
from crypto_core.trail.use.keys import KeyUseSummary
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from screens.actions.action import ActionScope
from screens.answer_screen import AnswerScreen
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.keys.detail import fact_lines, material_lines, missing_lines
from screens.keys.key_actor import KeyActor
from screens.keys.material_band import timeline
from screens.keys.policy_screen import access_lines
from screens.routes import EventsRoute, FindingsRoute, KeyUseRoute
from screens.services import Services
from screens.signs import SIGNS
from screens.use.lines import BLANK, NAME_CELLS, fact, moment_words, narrowed, prose, who
from screens.widgets.cells import columns, cut, fit, fit_middle
from screens.widgets.line_list import Line, line
from screens.worker_calls import PendingCall, ask

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
    ACTS: ClassVar[tuple[ActionScope, ...]] = (ActionScope.KEY,)

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
