"""One key: what KMS says of it, its materials, and the tokens under each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from crypto_core.keys.policy.reading import KeyPolicy
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import Status
from screens.actions.action import Scope
from screens.actions.performing import bindings
from screens.asking import ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.keys.access_lines import access_lines
from screens.keys.detail import BLANK, NAME_CELLS, fact, fact_lines, material_lines, missing_lines
from screens.keys.finding_lines import finding_lines
from screens.keys.key_actor import KeyActor
from screens.keys.timeline import timeline
from screens.widgets.cells import fit
from screens.widgets.hint_line import HintLine
from screens.widgets.line_list import Line, LineList, indented
from screens.widgets.notice import Notice

MOST_ACCESSES = 7
"""How many lines who may use the key gets before the policy has to be opened."""


class KeyScreen(KeyActor):
    """What the list says of the key at once, and what KMS says when it's asked about this one."""

    NAME = "key"
    EVERY = 60.0
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.KEY)]

    def __init__(self, facts: Facts, key_arn: str) -> None:
        super().__init__(facts)
        self.key_arn = key_arn
        self._key: KeyState | None = facts.key_words.find(key_arn)
        self._at: datetime | None = facts.keys.at if self._key else None
        self._trouble: Trouble | None = None
        self._asking = False
        self._policy: KeyPolicy | Trouble | None = None

    def body(self) -> Iterable[Widget]:
        """Trouble if there is any, the key, and a word on the line under the cursor."""
        yield Notice()
        yield LineList()
        yield HintLine()

    def on_mount(self) -> None:
        """Ask for what the list doesn't say."""
        self.ask_anew()

    @property
    def crumb(self) -> tuple[str, str]:
        """The key's name."""
        return "Key", self.facts.key_words.long(self.key_arn)

    @property
    def key_in_hand(self) -> str | None:
        """This key, also before it is known."""
        return self.key_arn

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        """When KMS told of the key, and whether it's being asked."""
        return self._at, self._asking

    def ask_anew(self) -> None:
        """Ask KMS about this key anew."""
        if not self._asking:
            self._asking = True
            show = self.facts.services.keys.show
            read = self.facts.services.policies.read
            ask(self, lambda _: show(self.key_arn), self._keep, group="key")
            ask(self, lambda _: read(self.key_arn), self._keep_policy, group="policy")
            self.show_facts()

    def _keep(self, answer: KeyState | Trouble) -> None:
        """Keep the answer; after trouble, what was known before stays."""
        self._asking = False
        if isinstance(answer, Trouble):
            self._trouble = answer
        else:
            self._key, self._trouble, self._at = answer, None, self.facts.clock()
        if self.is_mounted:
            self.show_facts()

    def _keep_policy(self, answer: KeyPolicy | Trouble) -> None:
        """Keep who may use the key; after trouble, what was known before stays."""
        if not (isinstance(answer, Trouble) and isinstance(self._policy, KeyPolicy)):
            self._policy = answer
        if self.is_mounted:
            self.show_facts()

    def show_facts(self) -> None:
        """Paint the key as far as it is known."""
        self.show_path()
        self.query_one(Notice).tell(self._trouble)
        self.query_one(LineList).write(self._lines)

    def _lines(self, size: Size) -> Sequence[Line]:
        if self._key is None:
            words = " No answer: r asks again." if self._trouble else " Asking KMS…"
            return [Line(Content.assemble((words, "$muted")))]
        key, status, now, width = self._key, self.facts.status.value, self.facts.clock(), size.width - 3
        return indented(
            [
                *fact_lines(key, status, now, width),
                *self._picture(key, status, now, width),
                BLANK,
                *material_lines(key, status, now, width),
                BLANK,
                *self._may_use(width),
                *finding_lines(key, self.facts.posture.value, width),
                *missing_lines(key, width),
            ]
        )

    def _picture(self, key: KeyState, status: Status | None, now: datetime, width: int) -> Sequence[Line]:
        """The materials over time."""
        picture = timeline(key, status, now, width - NAME_CELLS)
        names = ("", "material", "tokens", "since")
        lines = [
            Line(Content.assemble((fit(name, NAME_CELLS), "$muted"), content))
            for name, content in zip(names, picture, strict=False)
        ]
        return [BLANK, *lines] if lines else []

    def _may_use(self, width: int) -> Sequence[Line]:
        """Who may use the key, and the way to its policy."""
        match self._policy:
            case KeyPolicy():
                return access_lines(self._policy, width, MOST_ACCESSES)
            case Trouble(message=message, remedy=remedy):
                words, style = f"not known: {message} {remedy}".strip(), "$warning"
            case _:
                words, style = "asking KMS…", "$muted"
        return [Line(fact("may use", words, style, width))]

    def cursor_moved(self) -> None:
        """Say what Enter leads to."""
        line = self.query_one(LineList).current
        self.query_one(HintLine).say(line.hint if line is not None else "")
        self.refresh_hints(line is not None)
