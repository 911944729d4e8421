"""Under which key? The keys that tokens may be written under, the configured one first."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from crypto_core.key_names import same_key
from crypto_core.keys.state import KeyState
from crypto_core.reencryption.plan import Verb
from crypto_core.text.counting import counted
from screens.asking import ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.key_words import KeyWords
from screens.plan_words import ABOUT
from screens.routes import Followed
from screens.widgets.cells import fit
from screens.widgets.dialog import Dialog, button
from screens.widgets.line_list import Line, LineList, line
from screens.widgets.notice import trouble_content


class ChooseKey(Dialog[KeyState | None]):
    """Returns the chosen key, or None if the operator went back."""

    def __init__(
        self, facts: Facts, verb: Verb, count: int, *, what: str = "everything marked", without: str = ""
    ) -> None:
        """`what` is said where the count isn't known. The key `without` is not offered."""
        super().__init__()
        self._what = what
        self._without = without
        self._facts = facts
        self._verb = verb
        self._count = count

    def compose(self) -> ComposeResult:
        """What the verb does, the keys, and the way back."""
        with Vertical(classes="frame") as frame:
            what = counted(self._count, "token") if self._count else self._what
            frame.border_title = Content(f"{self._verb.words.capitalize()} {what}: under which key?")
            yield Static(Content(ABOUT[self._verb]), classes="about")
            yield Static(Content("Asking KMS for keys…"), id="state")
            yield LineList(id="targets")
            with Horizontal(classes="buttons"):
                yield button("Cancel", "cancel")

    def on_mount(self) -> None:
        """Ask for the keys."""
        self.query_one("#targets").display = False
        self.query_one("#cancel").focus()
        targets = self._facts.services.keys.targets
        ask(self, lambda _: targets(), self._show, group="targets")

    def _show(self, answer: tuple[KeyState, ...] | Trouble) -> None:
        """Show the keys, the write key under the cursor, or why there are none."""
        if not self.is_mounted:
            return
        state = self.query_one("#state", Static)
        if isinstance(answer, Trouble):
            state.update(trouble_content(answer))
            return
        keys = self._sorted(answer)
        if not keys:
            other = "other " if answer else ""
            state.update(
                Content(
                    f"No {other}KMS key can be written under: keydeck sees no {other}enabled symmetric "
                    "customer key. Make one with N on Keys, allow kms:ListKeys and kms:DescribeKey, or set "
                    "TOKEN_ENCRYPTION_KEY_ID."
                )
            )
            return
        state.display = False
        targets = self.query_one("#targets", LineList)
        targets.display = True
        targets.styles.height = min(len(keys), 8)
        targets.write(lambda size: [self._line(key, size.width) for key in keys])
        targets.focus()

    def _is_write_key(self, key: KeyState) -> bool:
        name = self._facts.services.write_key
        return name is not None and (
            same_key(key.key_arn, name)
            or key.key_arn.endswith(f"/{name}")
            or name.rsplit(":", 1)[-1] in key.aliases
        )

    def _sorted(self, keys: Sequence[KeyState]) -> list[KeyState]:
        offered = [k for k in keys if not (self._without and same_key(k.key_arn, self._without))]
        return sorted(offered, key=lambda k: (not self._is_write_key(k), k.name))

    def _line(self, key: KeyState, width: int) -> Line:
        words = KeyWords([key])
        note = "write key" if self._is_write_key(key) else ""
        room = max(width - 30, 20)
        return line(
            " ",
            (fit(words.long(key.key_arn), room), "bold"),
            fit(key.region, 16),
            (fit(note, 12), "$accent"),
            target=key,
        )

    @on(Followed)
    def choose(self, event: Followed) -> None:
        """Go on with the chosen key."""
        event.stop()
        if isinstance(event.target, KeyState):
            self.dismiss(event.target)
