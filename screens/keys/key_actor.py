"""What can be done to one key, alike on the list of keys and on a key's own page."""

from __future__ import annotations

from collections.abc import Callable

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Checkbox, Input, Static

from crypto_core.keys.changes.change import (
    ARGUMENTS,
    DEFAULT_PERIOD_DAYS,
    ChangeArgument,
    ChangeKind,
    KeyChange,
)
from crypto_core.keys.grants import Grant
from crypto_core.keys.policy.actions import in_words
from crypto_core.keys.policy.least_privilege import Role
from crypto_core.keys.policy.policy_reader import KeyPolicy
from crypto_core.values.clean_text import shortened
from screens.actions.action import Action
from screens.facts import ScreenFacts
from screens.key_changes.change_dialog import ChangeDialog
from screens.main_screen import MainScreen
from screens.moments import day
from screens.routes import Followed, KeyUseRoute, PolicyRoute, RotationRoute
from screens.widgets.cells import cut, fit
from screens.widgets.choice_dialog import ChoiceDialog
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.line_input import LineInput
from screens.widgets.line_list import Line, line
from screens.widgets.plan_dialog import UNCHANGED
from screens.widgets.question import AskText

_FIELDS = (
    ("alias", "alias/tokens-2"),
    ("description", "What the key is for"),
    ("rotation", "Days between rotations, empty for none"),
)
_ROLES = (Role.PLATFORM, Role.OPERATOR, Role.INSPECTOR, Role.RESPONDER, Role.ADMINISTRATOR)


class KeyActor(MainScreen):
    @property
    def key_in_hand(self) -> str | None:
        raise NotImplementedError

    def possible(self, action: Action) -> bool | None:
        if action.scope == "key" and action.name != "create" and self.key_in_hand is None:
            return None
        return super().possible(action)

    def do_policy(self) -> None:
        if self.key_in_hand is not None:
            self.post_message(Followed(PolicyRoute(self.key_in_hand)))

    def do_use(self) -> None:
        if self.key_in_hand is not None:
            self.post_message(Followed(KeyUseRoute(self.key_in_hand)))

    @work(exclusive=True, group="write")
    async def do_replace(self, by: str) -> None:
        key = self.key_in_hand
        if key is None:
            return
        about = (
            "Which key replaces this one? An alias, id or ARN; leave it empty if there is none "
            "yet. The guide itself changes nothing."
        )
        given: str | None = by
        if not by:
            question = AskText(f"Manual rotation: {UNCHANGED}", about, optional=True)
            given = await self.app.push_screen_wait(question)
        if given is not None:
            self.post_message(Followed(RotationRoute(key, given.strip() or None)))

    @work(exclusive=True, group="write")
    async def do_move_tokens(self) -> None:
        from screens.jobs.choose_tokens import under
        from screens.jobs.new_job import begin_job

        key = self.key_in_hand
        if key is not None:
            await begin_job(self, under(key, self.facts.status.value, self.facts))

    @work(exclusive=True, group="write")
    async def do_incident(self) -> None:
        from screens.incidents.about import About
        from screens.incidents.declare import begin_incident

        key = self.key_in_hand
        if key is not None:
            await begin_incident(self, About(f"key {self.facts.key_words.long(key)}", key=key))

    # Changes: each is planned, shown, agreed to, made, and read back.

    @work(exclusive=True, group="write")
    async def do_create(self) -> None:
        change = await self.app.push_screen_wait(CreateDialog())
        if change is not None:
            await self._carry_out(lambda: change)

    @work(exclusive=True, group="write")
    async def _change(self, kind: ChangeKind, given: str) -> None:
        """Make a change of the key in hand, once it is known what it takes."""
        key, argument = self.key_in_hand, ARGUMENTS.get(kind)
        if key is None:
            return
        if argument is None:
            await self._carry_out(lambda: KeyChange(kind, key))
            return
        text = given or await self._asked_for(argument, key)
        if text is not None:
            taken = text.strip()
            await self._carry_out(lambda: KeyChange(kind, key, **{argument.field: argument.read(taken)}))

    async def _asked_for(self, argument: ChangeArgument, key: str) -> str | None:
        """Ask for what the command left out."""
        if not argument.question:
            return await self.app.push_screen_wait(ChooseGrant(self.facts, key))
        dialog = AskText(f"{argument.title}: {UNCHANGED}", argument.question, argument.default)
        return await self.app.push_screen_wait(dialog)

    async def _carry_out(self, change: Callable[[], KeyChange]) -> None:
        result = await self.app.push_screen_wait(ChangeDialog(self.facts, change))
        if result is not None:
            self.ask_anew()
            self.facts.ask_keys()
            self.facts.ask_status()


def _doing(kind: ChangeKind) -> Callable[..., None]:
    def do(self: KeyActor, given: str = "") -> None:
        self._change(kind, given)

    do.__doc__ = f"{kind.operation.effect}."
    return do


for _kind in ChangeKind:
    # Each change can be done by the name of its operation; one that asks otherwise has a method above.
    if not hasattr(KeyActor, _method := f"do_{_kind.value.replace('-', '_')}"):
        setattr(KeyActor, _method, _doing(_kind))


class ChooseGrant(ChoiceDialog[str]):
    """Returns the chosen grant's id, None if the operator went back."""

    def __init__(self, facts: ScreenFacts, key_arn: str) -> None:
        super().__init__("Which grant?")
        self._facts = facts
        self._key_arn = key_arn

    def on_mount(self) -> None:
        read = self._facts.services.policies.read
        self.ask_for("Asking KMS for grants…", lambda _: read(self._key_arn), self._show)

    def _show(self, answer: KeyPolicy) -> None:
        if answer.missing:
            told = "; ".join(f"{part}: {why}" for part, why in answer.missing.items())
            self.say(Content(f"Not known: {told}"))
        elif not answer.grants:
            self.say(Content("The key has no grant."))
        else:
            self.offer(answer.grants, self._line)

    def _line(self, grant: Grant, width: int) -> Line:
        since = f", since {day(grant.created_at, self._facts.clock())}" if grant.created_at else ""
        named = f' "{shortened(grant.name, 60)}"' if grant.name else ""
        words = f"{grant.grantee.name} may {in_words(grant.operations)}{since}{named}"
        short_id = fit(f"{grant.grant_id[:8]}…", 11)
        return line(" ", (short_id, "$muted"), cut(words, width - 12), target=grant.grant_id)


class Choice(Checkbox):
    """A checkbox that shows what is chosen by a sign, not by a colour alone."""

    BUTTON_INNER = " "

    def watch_value(self) -> None:
        self.BUTTON_INNER = "X" if self.value else " "
        super().watch_value()
        self.refresh()


class CreateDialog(Dialog[KeyChange | None]):
    """Returns the key to make, None if the operator went back. What is wrong with it the preview says."""

    DEFAULT_CSS = """
    CreateDialog .field { height: 1; }
    CreateDialog .field > Static { width: 15; color: $muted; }
    CreateDialog .field > Input { width: 1fr; }
    CreateDialog #said { color: $warning; }
    CreateDialog Checkbox { background: $surface; border: none; padding: 0; }
    """

    def compose(self) -> ComposeResult:
        with framed("New key: nothing changed yet"):
            yield Static(
                Content("Each role gets the least it needs. ARNs, separated by commas."), classes="about"
            )
            with VerticalScroll(classes="body", can_focus=False):
                for name, hint in _FIELDS:
                    yield from self._field(name, hint)
                for role in _ROLES:
                    yield from self._field(role.value, "arn:aws:iam::123456789012:role/name")
                yield Choice(Content("multi-Region: can be replicated"), id="multi-region", compact=True)
            yield Static(id="said")
            yield buttons(("Cancel", "cancel"), ("Preview", "preview"))

    def _field(self, name: str, hint: str) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Static(Content(name))
            value = str(DEFAULT_PERIOD_DAYS) if name == "rotation" else ""
            yield LineInput(value, placeholder=hint, id=name, compact=True)

    @on(Input.Submitted)
    def next_field(self) -> None:
        self.focus_next()

    @on(Button.Pressed, "#preview")
    def go_on(self) -> None:
        days = self._given("rotation")
        if days and not (days.isascii() and days.isdecimal() and len(days) <= 5):
            self.query_one("#rotation").focus()
            self.query_one("#said", Static).update(
                Content("Enter the rotation period in days, or leave it empty.")
            )
            return
        arns = {role: tuple(self._given(role.value).replace(",", " ").split()) for role in _ROLES}
        self.dismiss(
            KeyChange(
                ChangeKind.CREATE,
                alias=self._given("alias"),
                description=self._given("description"),
                period_days=int(days) if days else None,
                principals={role: given for role, given in arns.items() if given},
                multi_region=self.query_one("#multi-region", Choice).value,
            )
        )

    def _given(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value.strip()
