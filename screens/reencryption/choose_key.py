"""Under which key? The keys that tokens may be written under, the configured one first."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from crypto_core.keys.state import KeyState
from crypto_core.reencryption.plan import Verb
from crypto_core.values.counts import counted
from crypto_core.values.key_names import same_key
from screens.facts import ScreenFacts
from screens.key_words import KeyWords
from screens.plan_words import ABOUT
from screens.widgets.cells import fit
from screens.widgets.choice_dialog import ChoiceDialog
from screens.widgets.line_list import Line, line


class ChooseKey(ChoiceDialog[KeyState]):
    """Returns the chosen key, or None if the operator went back."""

    def __init__(
        self, facts: ScreenFacts, verb: Verb, count: int, what: str = "everything marked", without: str = ""
    ) -> None:
        """`what` is said where the count isn't known. The key `without` is not offered."""
        tokens = counted(count, "token") if count else what
        super().__init__(f"{verb.words.capitalize()} {tokens}: under which key?", ABOUT[verb])
        self._without = without
        self._facts = facts

    def on_mount(self) -> None:
        targets = self._facts.services.keys.targets
        self.ask_for("Asking KMS for keys…", lambda _: targets(), self._show)

    def _show(self, answer: tuple[KeyState, ...]) -> None:
        keys = self._sorted(answer)
        if keys:
            self.offer(keys, self._line)
            return
        other = "other " if answer else ""
        self.say(
            Content(
                f"No {other}KMS key can be written under: keydeck sees no {other}enabled symmetric "
                "customer key. Make one with N on Keys, allow kms:ListKeys and kms:DescribeKey, or set "
                "TOKEN_ENCRYPTION_KEY_ID."
            )
        )

    def _is_write_key(self, key: KeyState) -> bool:
        return key.is_named(self._facts.services.write_key)

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
