"""Who has which role in an incident, what is to be done after it, and what whoever takes over has to know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Button, Input, Label, Static

from crypto_core.incidents.model import IncidentState, IncidentView
from crypto_core.incidents.people import FollowUp, IncidentRole
from crypto_core.values.cancellation import Cancellation
from screens.actions.action import Action
from screens.actions.performer import perform
from screens.actions.registry import BY_ID
from screens.answer_screen import UseScreen
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.identities import person
from screens.moments import ago
from screens.routes import Followed
from screens.signs import Sign
from screens.use.lines import BLANK, prose
from screens.widgets.cells import fit
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.line_input import LineInput
from screens.widgets.line_list import Line, line
from screens.widgets.notice import trouble_content
from screens.widgets.question import AskText
from screens.worker_calls import ask

_SIGNS = {
    "done": Sign("✔", "$success"),
    "overdue": Sign("✖", "$error"),
    "open": Sign("○", "$muted"),
}
_ROLE, _WHO, _NUMBER, _DUE = 16, 18, 4, 11
_FIELDS = (("what", "What"), ("owner", "By whom"), ("due", "Until when, as 2026-12-31"))


@dataclass(frozen=True, slots=True)
class PeopleStanding:
    view: IncidentView
    handover: tuple[str, ...]


class PeopleScreen(UseScreen[PeopleStanding]):
    """The roles first; Enter takes one, or notes that a follow-up is done."""

    NAME = "people"
    EVERY = 3.0
    ASKING = "Asking who does what…"
    ACTS: ClassVar[tuple[str, ...]] = ("people",)

    def __init__(self, facts: ScreenFacts, incident: int) -> None:
        super().__init__(facts)
        self.incident = incident

    @property
    def crumb(self) -> tuple[str, str]:
        return "People", ""

    def ask_for(self, cancelled: Cancellation) -> PeopleStanding:
        service = self.facts.services.incidents
        return PeopleStanding(service.show(self.incident), service.handover(self.incident))

    def lines(self, answer: PeopleStanding, width: int) -> Iterable[Line]:
        return people_lines(answer, width, self.facts)

    def possible(self, action: Action) -> bool | None:
        """Roles are given while the incident is open; only what is not done can be done."""
        possible, target = super().possible(action), self.target_in_hand
        if not possible or action.scope != "people" or self.answer is None:
            return possible
        if action.name in ("take", "assign"):
            is_open = self.answer.view.incident.state is IncidentState.OPEN
            return possible if is_open and isinstance(target, IncidentRole) else None
        if action.name == "follow-up-done":
            return possible if isinstance(target, FollowUp) and target.ended_at is None else None
        return possible

    @on(Followed)
    async def do_line(self, event: Followed) -> None:
        """Enter: take the role, or end the follow-up."""
        if isinstance(event.target, IncidentRole):
            event.stop()
            await perform(self, BY_ID["people.take"])
        elif isinstance(event.target, FollowUp):
            event.stop()
            await perform(self, BY_ID["people.follow-up-done"])

    @work(exclusive=True, group="write")
    async def do_take(self) -> None:
        role = self.target_in_hand
        if not isinstance(role, IncidentRole) or self.answer is None:
            return
        before = self.answer.view.people.who(role)
        about = f"Whoever has it {role.duty}. " + (
            f"{person(before)} has it now. A note for the timeline, if there is one to make."
            if before
            else "Nobody has it now. A note for the timeline, if there is one to make."
        )
        dialog = AskText(f"Take: {role.value}", about, label="Take it", optional=True)
        note: str | None = await self.app.push_screen_wait(dialog)
        if note is not None:
            taken, said = role, note
            self._change(
                lambda number: self.facts.services.incidents.assign(number, taken, note=said),
                f"You: {taken.value}.",
            )

    @work(exclusive=True, group="write")
    async def do_assign(self, who: str) -> None:
        role = self.target_in_hand
        if not isinstance(role, IncidentRole):
            return
        about = f"Whoever has it {role.duty}. Who is it? Empty: nobody."
        name: str | None = who
        if not name:
            dialog = AskText(f"Give: {role.value}", about, label="Give it", optional=True)
            name = await self.app.push_screen_wait(dialog)
        if name is not None:
            given, to = role, name
            self._change(
                lambda number: self.facts.services.incidents.assign(number, given, to),
                f"{given.value.capitalize()}: {to or 'nobody'}.",
            )

    @work(exclusive=True, group="write")
    async def do_follow_up(self) -> None:
        await self.app.push_screen_wait(FollowUpDialog(self.facts, self.incident))
        self.ask_anew()

    @work(exclusive=True, group="write")
    async def do_follow_up_done(self, outcome: str) -> None:
        follow_up = self.target_in_hand
        if not isinstance(follow_up, FollowUp):
            return
        came: str | None = outcome
        if not came:
            about = f"{follow_up.text} What came of it?"
            dialog = AskText(f"Follow-up {follow_up.number}", about, label="Done")
            came = await self.app.push_screen_wait(dialog)
        if came:
            number, words = follow_up.number, came
            self._change(
                lambda incident: self.facts.services.incidents.end_follow_up(incident, number, words),
                f"Follow-up {number} is done.",
            )

    def _change(self, make: Callable[[int], object], words: str) -> None:
        self.change(lambda: make(self.incident), lambda _: words)


def people_lines(standing: PeopleStanding, width: int, facts: ScreenFacts) -> Iterator[Line]:
    people, today = standing.view.people, facts.clock().astimezone(UTC).date()
    open_ = standing.view.incident.state is IncidentState.OPEN
    yield line(("Roles", "bold"))
    for role in IncidentRole:
        yield _role(standing.view, role, width, facts, takes=open_)
    yield BLANK
    yield line(("Follow-ups", "bold"))
    left = people.open()
    for one in (*left, *(one for one in people.follow_ups if one.ended_at is not None)):
        yield from _follow_up(one, width, today)
    if not people.follow_ups:
        yield line(("None yet: n keeps what is to be done, by whom and until when.", "$muted"))
    yield BLANK
    yield line(("On taking over" if open_ else "How it stands", "bold"))
    for text in standing.handover:
        yield from prose(text, width, lead="· ", lead_style="$muted")


def _role(view: IncidentView, role: IncidentRole, width: int, facts: ScreenFacts, *, takes: bool) -> Line:
    held = next((one for one in view.people.roles if one.role is role), None)
    who = person(held.who) if held is not None else "nobody"
    told = ago(held.since, facts.clock()) if held is not None else role.duty
    note = f", {held.note}" if held is not None and held.note else ""
    content = line(
        fit(role.value, _ROLE),
        (fit(who, _WHO), "bold" if held is not None else "$muted"),
        (fit(told + note, max(width - _ROLE - _WHO, 8)), "$muted"),
    ).content
    hint = "Enter: take it. w: give it to somebody." if takes else ""
    return Line(content, role, hint)


def _follow_up(one: FollowUp, width: int, today: date) -> Iterator[Line]:
    stands = one.stands(today)
    sign = _SIGNS[stands]
    due = one.due.isoformat() if one.due is not None else "no day"
    room = max(width - 2 - _NUMBER - _DUE - _WHO, 16)
    text = f"{one.text} Done: {one.outcome}" if one.ended_at is not None else one.text
    hint = "Enter: it is done." if one.ended_at is None else f"Done by {one.ended_by}."
    for index, part in enumerate(line(text).content.wrap(room)):
        if index:
            yield line(" " * (2 + _NUMBER + _DUE + _WHO), part)
            continue
        lead = line(
            sign,
            " ",
            fit(str(one.number), _NUMBER),
            (fit(due, _DUE), sign.style),
            fit(person(one.owner) if one.owner else "nobody yet", _WHO),
            part,
        )
        yield Line(lead.content, one, hint)


class FollowUpDialog(Dialog[FollowUp | None]):
    """Returns what was kept, None if the operator went back. An error keeps what was typed."""

    DEFAULT_CSS = "FollowUpDialog Label { color: $muted; }"

    def __init__(self, facts: ScreenFacts, incident: int) -> None:
        super().__init__()
        self._facts, self._incident = facts, incident

    def compose(self) -> ComposeResult:
        with framed(f"Follow-up of INC-{self._incident}"):
            yield Static(
                Content("Kept with the incident and in its report. Never write a token here."),
                classes="about",
            )
            for id_, words in _FIELDS:
                yield Label(Content(words))
                yield LineInput(id=id_, compact=True)
            yield Static(id="wrong")
            yield buttons(("Cancel", "cancel"), ("Keep", "keep"))

    @on(Input.Submitted)
    @on(Button.Pressed, "#keep")
    def keep(self) -> None:
        what, owner, until = (self.query_one(f"#{id_}", Input).value.strip() for id_, _ in _FIELDS)
        try:
            due = date.fromisoformat(until) if until else None
        except ValueError:
            self._say(Content("Write the day as 2026-12-31, or leave it empty."), "#due")
            return
        if not what:
            self._say(Content("Say what is to be done."), "#what")
            return
        service = self._facts.services.incidents
        ask(self, lambda _: service.follow_up(self._incident, what, owner, due), self._kept, group="write")

    def _kept(self, answer: FollowUp | Failure) -> None:
        if isinstance(answer, Failure):
            self._say(trouble_content(answer), "#what")
        else:
            self.dismiss(answer)

    def _say(self, words: Content, at: str) -> None:
        self.query_one("#wrong", Static).update(words)
        self.query_one(at).focus()
