"""The policy of one key: in words, and word for word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.geometry import Size
from textual.highlight import highlight
from textual.widget import Widget

from crypto_core.counting import counted
from crypto_core.foreign import clean
from crypto_core.keys.policy.comparison import written
from crypto_core.keys.policy.reading import KeyPolicy
from screens.actions.action import Action, Scope
from screens.actions.performing import bindings
from screens.asking import ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.keys.access_lines import sentence_lines
from screens.main_screen import MainScreen
from screens.widgets.line_list import Line, LineList, indented
from screens.widgets.notice import Notice


class PolicyText(LineList):
    """Text to read: the cursor rests on every line."""

    def selectable(self, index: int) -> bool:
        """True: whoever reads goes line by line."""
        return 0 <= index < self.line_count()

    def possible(self, action: Action) -> bool | None:
        """No line leads any deeper."""
        return False if action.name == "open" else super().possible(action)


class PolicyScreen(MainScreen):
    """Who may do what with a key, then the policy as KMS has it."""

    NAME = "policy"
    EVERY = 300.0
    ACTS: ClassVar[tuple[Scope, ...]] = (Scope.POLICY,)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.POLICY)]

    def __init__(self, facts: Facts, key_arn: str) -> None:
        super().__init__(facts)
        self.key_arn = key_arn
        self._policy: KeyPolicy | None = None
        self._at: datetime | None = None
        self._trouble: Trouble | None = None
        self._asking = False

    def body(self) -> Iterable[Widget]:
        """Trouble if there is any, and the text."""
        yield Notice()
        yield PolicyText()

    def on_mount(self) -> None:
        """Ask for the policy."""
        self.ask_anew()

    @property
    def crumb(self) -> tuple[str, str]:
        """Whose policy it is stands before it in the path."""
        return "Policy", ""

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        """When KMS told of the policy, and whether it's being asked."""
        return self._at, self._asking

    def ask_anew(self) -> None:
        """Ask KMS for policy and grants anew."""
        if not self._asking:
            self._asking = True
            read = self.facts.services.policies.read
            ask(self, lambda _: read(self.key_arn), self._keep, group="policy")
            self.show_facts()

    def _keep(self, answer: KeyPolicy | Trouble) -> None:
        self._asking = False
        if isinstance(answer, Trouble):
            self._trouble = answer
        else:
            self._policy, self._trouble, self._at = answer, None, self.facts.clock()
        if self.is_mounted:
            self.show_facts()

    def show_facts(self) -> None:
        """Paint the policy as far as it is known."""
        self.show_path()
        self.query_one(Notice).tell(self._trouble)
        self.query_one(PolicyText).write(self._lines)

    def _lines(self, size: Size) -> Sequence[Line]:
        if self._policy is None:
            words = "No answer: r asks again." if self._trouble else "Asking KMS…"
            return indented([Line(Content.assemble((words, "$muted")))])
        return indented(policy_lines(self._policy, size.width - 3))


def policy_lines(policy: KeyPolicy, width: int) -> list[Line]:
    """Return a policy and grants: what they come to, what could not be learnt, and the policy's own text."""
    grants = "" if "grants" in policy.missing else f" and {counted(len(policy.grants), 'grant')}"
    statements = counted(len(policy.document.statements), "statement")
    lines = [Content.assemble(("Who may do what", "bold"), (f"   by {statements}{grants}", "$muted"))]
    for sentence in sentence_lines(policy, width):
        lines += sentence
    for part, why in policy.missing.items():
        lines.append(Content.assemble(("▲ ", "$warning"), clean(f"{part} not seen: {why}", 400)))
    lines += [Content(""), Content.assemble(("Policy", "bold"), ("   as KMS has it", "$muted"))]
    # Other characters than ASCII are escaped in it, so nothing in it can act on the terminal.
    for line in highlight(written(policy.document.raw), language="json").split("\n", allow_blank=True):
        lines += line.fold(width) or [Content("")]
    return [Line(line) for line in lines]
