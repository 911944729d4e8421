"""What can be done to one key, alike on the list of keys and on a key's own page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, cast

from textual import work

from crypto_core.errors import InvalidFilterError, PolicyError, RefusedError
from crypto_core.keys.changes.change import DEFAULT_PERIOD_DAYS, DEFAULT_WINDOW_DAYS, ChangeKind, KeyChange
from crypto_core.keys.policy.document import MOST_BYTES
from crypto_core.text.cleaning import shortened
from screens.actions.action import Action, ActionScope
from screens.actions.performing import Host
from screens.event_filters import since
from screens.keys.change_dialog import ChangeDialog
from screens.keys.choose_grant import ChooseGrant
from screens.keys.create_dialog import CreateDialog
from screens.main_screen import MainScreen
from screens.routes import Followed, KeyUseBehind, PolicyBehind, RotationBehind, WatchBehind
from screens.widgets.ask_text import AskText
from screens.widgets.plan_dialog import UNCHANGED


class KeyActor(MainScreen):
    """A screen that has a key in hand, or none yet."""

    ACTS: ClassVar[tuple[ActionScope, ...]] = (ActionScope.KEY,)

    @property
    def key_in_hand(self) -> str | None:
        """The ARN of the key that actions are about."""
        raise NotImplementedError

    def possible(self, action: Action) -> bool | None:
        """Without a key nothing can be done to one."""
        if action.scope is ActionScope.KEY and action.name != "create" and self.key_in_hand is None:
            return None
        if action.name == "incident" and self.facts.services.incidents is None:
            return False
        if action.id == "key.move-tokens" and self.facts.services.jobs is None:
            return False
        return super().possible(action)

    def do_policy(self) -> None:
        """To who may do what with the key."""
        if self.key_in_hand is not None:
            self.post_message(Followed(PolicyBehind(self.key_in_hand)))

    def do_use(self) -> None:
        """To how the key was used, and by whom."""
        if self.key_in_hand is not None:
            self.post_message(Followed(KeyUseBehind(self.key_in_hand)))

    def do_watch(self, from_: str) -> None:
        """To every use of the key as it comes, from now on or from the time that is named."""
        key, now = self.key_in_hand, self.facts.clock()
        if key is None:
            return
        try:
            begin = since(from_, None, now) if from_ else now
        except InvalidFilterError as error:
            cast(Host, self.app).tell(f"{error.message} {error.remedy}", trouble=True)
            return
        if begin > now:
            cast(Host, self.app).tell("That is still to come: name a time that has passed.", trouble=True)
            return
        self.post_message(Followed(WatchBehind(key, begin)))

    @work(exclusive=True, group="write")
    async def do_replace(self, by: str) -> None:
        """To the guide through a manual rotation."""
        key = self.key_in_hand
        if key is None:
            return
        about = (
            "By which key shall this one be replaced? An alias, an id or an ARN; nothing if there is none "
            "yet. The guide changes nothing itself."
        )
        given: str | None = by
        if not by:
            question = AskText(f"Manual rotation: {UNCHANGED}", about, optional=True)
            given = await self.app.push_screen_wait(question)
        if given is not None:
            self.post_message(Followed(RotationBehind(key, given.strip() or None)))

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

    def do_rotate(self) -> None:
        """New key material now."""
        self._change(ChangeKind.ROTATE)

    @work(exclusive=True, group="write")
    async def do_enable_rotation(self, days: str) -> None:
        """Let KMS rotate the material by itself."""
        about = "How many days between rotations? 90 to 2,560."
        await self._ask_and_change(
            "Enable rotation",
            about,
            days or str(DEFAULT_PERIOD_DAYS),
            lambda key, text: KeyChange(ChangeKind.ENABLE_ROTATION, key, period_days=number(text)),
            ask=not days,
        )

    def do_disable_rotation(self) -> None:
        """No longer rotate by itself."""
        self._change(ChangeKind.DISABLE_ROTATION)

    @work(exclusive=True, group="write")
    async def do_alias(self, name: str) -> None:
        """Point an alias to the key."""
        await self._ask_and_change(
            "Point an alias",
            "Which alias shall point to this key? One that there isn't yet is made.",
            name or "alias/",
            lambda key, text: KeyChange(ChangeKind.POINT_ALIAS, key, alias=text),
            ask=not name,
        )

    def do_enable(self) -> None:
        """Let the key be used again."""
        self._change(ChangeKind.ENABLE)

    def do_disable(self) -> None:
        """Let nobody use the key."""
        self._change(ChangeKind.DISABLE)

    @work(exclusive=True, group="write")
    async def do_schedule_deletion(self, days: str) -> None:
        """Delete the key after a waiting time."""
        await self._ask_and_change(
            "Schedule deletion",
            "After how many days shall KMS delete the key? 7 to 30. Until then it can be cancelled.",
            days or str(DEFAULT_WINDOW_DAYS),
            lambda key, text: KeyChange(ChangeKind.SCHEDULE_DELETION, key, window_days=number(text)),
            ask=not days,
        )

    def do_cancel_deletion(self) -> None:
        """Keep a key that is to be deleted."""
        self._change(ChangeKind.CANCEL_DELETION)

    @work(exclusive=True, group="write")
    async def do_put_policy(self, path: str) -> None:
        """Replace the key policy."""
        await self._ask_and_change(
            "Put a policy",
            "In which file is the policy? You see who gains and who loses what before it is put.",
            path,
            lambda key, text: KeyChange(ChangeKind.PUT_POLICY, key, policy=policy_in(text)),
            ask=not path,
        )

    def do_revoke_grant(self, grant_id: str) -> None:
        """Take a grant back."""
        self._change_grant(ChangeKind.REVOKE_GRANT, grant_id)

    def do_retire_grant(self, grant_id: str) -> None:
        """Give a grant up."""
        self._change_grant(ChangeKind.RETIRE_GRANT, grant_id)

    @work(exclusive=True, group="write")
    async def do_replicate(self, region: str) -> None:
        """A replica in another Region."""
        await self._ask_and_change(
            "Replicate",
            "Into which Region? Only a multi-Region primary can be replicated.",
            region,
            lambda key, text: KeyChange(ChangeKind.REPLICATE, key, region=text),
            ask=not region,
        )

    @work(exclusive=True, group="write")
    async def do_create(self) -> None:
        """Make a new key."""
        change = await self.app.push_screen_wait(CreateDialog())
        if change is not None:
            await self._carry_out(lambda: change)

    @work(exclusive=True, group="write")
    async def _change(self, kind: ChangeKind) -> None:
        key = self.key_in_hand
        if key is not None:
            await self._carry_out(lambda: KeyChange(kind, key))

    @work(exclusive=True, group="write")
    async def _change_grant(self, kind: ChangeKind, grant_id: str) -> None:
        key = self.key_in_hand
        if key is None:
            return
        chosen: str | None = grant_id
        if not grant_id:
            chosen = await self.app.push_screen_wait(ChooseGrant(self.facts, key))
        if chosen is not None:
            grant = chosen
            await self._carry_out(lambda: KeyChange(kind, key, grant_id=grant))

    async def _ask_and_change(
        self, title: str, about: str, text: str, change: Callable[[str, str], KeyChange], *, ask: bool
    ) -> None:
        """Ask for what the command left out, then go on."""
        key = self.key_in_hand
        if key is None:
            return
        given: str | None = text
        if ask:
            given = await self.app.push_screen_wait(AskText(f"{title}: {UNCHANGED}", about, text))
        if given is not None:
            await self._carry_out(lambda: change(key, given.strip()))

    async def _carry_out(self, change: Callable[[], KeyChange]) -> None:
        result = await self.app.push_screen_wait(ChangeDialog(self.facts, change))
        if result is not None:
            self.ask_anew()
            self.facts.ask_keys()
            self.facts.ask_status()


def number(text: str) -> int:
    """Return a number of days. Raises RefusedError for what is none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5):
        raise RefusedError(f"{shortened(text, 40)!r} is no number of days.", remedy="Write digits only.")
    return int(text)


def policy_in(path: str) -> str:
    """Return the text of a file of at most what KMS takes. Blocks; raises PolicyError."""
    try:
        with Path(path).expanduser().open("rb") as file:
            return file.read(MOST_BYTES + 1).decode()
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path} is not UTF-8 text.") from error
    except OSError as error:
        raise PolicyError(
            f"{path} can't be read: {error.strerror or 'it is no file'}.",
            remedy="Name a file with a key policy in JSON.",
        ) from error
