"""What can be done to one key, alike on the list of keys and on a key's own page."""

from __future__ import annotations

from collections.abc import Callable

from textual import work

from crypto_core.errors import InvalidFilterError
from crypto_core.keys.changes.change import ARGUMENTS, ChangeArgument, ChangeKind, KeyChange
from screens.actions.action import Action, ActionScope
from screens.event_filters import since
from screens.key_changes.change_dialog import ChangeDialog
from screens.keys.choose_grant import ChooseGrant
from screens.keys.create_dialog import CreateDialog
from screens.main_screen import MainScreen
from screens.routes import Followed, KeyUseRoute, PolicyRoute, RotationRoute, WatchRoute
from screens.widgets.ask_text import AskText
from screens.widgets.plan_dialog import UNCHANGED


class KeyActor(MainScreen):
    """A screen that has a key in hand, or none yet."""

    @property
    def key_in_hand(self) -> str | None:
        """The ARN of the key that actions are about."""
        raise NotImplementedError

    def possible(self, action: Action) -> bool | None:
        """Without a key nothing can be done to one."""
        if action.scope is ActionScope.KEY and action.name != "create" and self.key_in_hand is None:
            return None
        return super().possible(action)

    def do_policy(self) -> None:
        """To who may do what with the key."""
        if self.key_in_hand is not None:
            self.post_message(Followed(PolicyRoute(self.key_in_hand)))

    def do_use(self) -> None:
        """To how the key was used, and by whom."""
        if self.key_in_hand is not None:
            self.post_message(Followed(KeyUseRoute(self.key_in_hand)))

    def do_watch(self, from_: str) -> None:
        """To every use of the key as it comes, from now on or from the time that is named."""
        key, now = self.key_in_hand, self.facts.clock()
        if key is None:
            return
        try:
            begin = since(from_, None, now) if from_ else now
        except InvalidFilterError as error:
            self.say(f"{error.message} {error.remedy}", trouble=True)
            return
        if begin > now:
            self.say("That time is in the future; enter a past time.", trouble=True)
            return
        self.post_message(Followed(WatchRoute(key, begin)))

    @work(exclusive=True, group="write")
    async def do_replace(self, by: str) -> None:
        """To the guide through a manual rotation."""
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
        """Begin a job over every token under the key."""
        from screens.jobs.beginning import begin_job
        from screens.jobs.choose_tokens import under

        key = self.key_in_hand
        if key is not None:
            await begin_job(self, under(key, self.facts.status.value, self.facts))

    @work(exclusive=True, group="write")
    async def do_incident(self) -> None:
        """Start an incident about the key."""
        from screens.incidents.about import About
        from screens.incidents.beginning import begin_incident

        key = self.key_in_hand
        if key is not None:
            await begin_incident(self, About(f"key {self.facts.key_words.long(key)}", key=key))

    # Changes: each is planned, shown, agreed to, made, and read back.

    @work(exclusive=True, group="write")
    async def do_create(self) -> None:
        """Make a new key."""
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
