"""Before tokens are written anew: under which key, the configured one first, and what would happen."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from crypto_core.guard.consent import Consent
from crypto_core.keys.state import KeyState
from crypto_core.reencryption.plan import Plan, Selection, Verb
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from crypto_core.values.key_names import same_key
from screens.facts import ScreenFacts
from screens.key_words import KeyWords
from screens.plan_words import ABOUT, plan_lines
from screens.widgets.cells import fit, painted
from screens.widgets.choice_dialog import ChoiceDialog
from screens.widgets.line_list import Line, line
from screens.widgets.plan_dialog import PlanDialog


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


class Preview(PlanDialog[Plan, tuple[Plan, Consent]]):
    """Returns the plan with the operator's consent to it, else None."""

    def __init__(self, facts: ScreenFacts, verb: Verb, selection: Selection, target: str) -> None:
        super().__init__(facts, verb.words.capitalize())
        self._verb = verb
        self._selection = selection
        self._target = target

    def make(self, cancelled: Cancellation) -> Plan:
        return self.facts.services.work.plan_reencryption(self._verb, self._selection, self._target)

    def content(self, plan: Plan) -> Content:
        return painted(plan_lines(plan))

    def label(self, plan: Plan) -> str:
        return f"{plan.verb.words.capitalize()} {counted(plan.tokens, 'token')}" if plan.tokens else ""

    def go_on(self, plan: Plan, consent: Consent) -> None:
        self.dismiss((plan, consent))
