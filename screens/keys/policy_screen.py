"""The policy of one key: in words, and word for word."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.content import Content
from textual.highlight import highlight
from textual.widget import Widget

from crypto_core.cancelling import Cancellation
from crypto_core.keys.policy.comparison import written
from crypto_core.keys.policy.reading import KeyPolicy
from crypto_core.text.counting import counted
from screens.actions.action import Action, ActionScope
from screens.answer_screen import AnswerScreen
from screens.facts import Facts
from screens.keys.access_lines import sentence_lines
from screens.widgets.line_list import Line, LineList
from screens.widgets.notice import Notice


class PolicyText(LineList):
    """Text to read: the cursor rests on every line."""

    def selectable(self, index: int) -> bool:
        """True: whoever reads goes line by line."""
        return 0 <= index < self.line_count()

    def possible(self, action: Action) -> bool | None:
        return False if action.name == "open" else super().possible(action)


class PolicyScreen(AnswerScreen[KeyPolicy]):
    """Who may do what with a key, then the policy as KMS has it."""

    NAME = "policy"
    EVERY = 300.0
    ACTS: ClassVar[tuple[ActionScope, ...]] = (ActionScope.POLICY,)

    def __init__(self, facts: Facts, key_arn: str) -> None:
        super().__init__(facts)
        self.key_arn = key_arn

    def body(self) -> Iterable[Widget]:
        yield Notice()
        yield PolicyText()

    @property
    def crumb(self) -> tuple[str, str]:
        return "Policy", ""

    def ask_for(self, cancelled: Cancellation) -> KeyPolicy:
        return self.facts.services.policies.read(self.key_arn)

    def lines(self, answer: KeyPolicy, width: int) -> Iterable[Line]:
        return policy_lines(answer, width)


def policy_lines(policy: KeyPolicy, width: int) -> list[Line]:
    """Return a policy and grants: what they come to, what could not be learnt, and the policy's own text."""
    grants = "" if "grants" in policy.missing else f" and {counted(len(policy.grants), 'grant')}"
    statements = counted(len(policy.document.statements), "statement")
    lines = [Content.assemble(("Who may do what", "bold"), (f"   by {statements}{grants}", "$muted"))]
    for sentence in sentence_lines(policy, width):
        lines += sentence
    for part, why in policy.missing.items():
        lines.append(Content.assemble(("▲ ", "$warning"), f"{part} not known: {why}"))
    lines += [Content(""), Content.assemble(("Policy", "bold"), ("   as KMS has it", "$muted"))]
    # Other characters than ASCII are escaped in it, so nothing in it can act on the terminal.
    for line in highlight(written(policy.document.raw), language="json").split("\n", allow_blank=True):
        lines += line.fold(width) or [Content("")]
    return [Line(line) for line in lines]
