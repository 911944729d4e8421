"""Keys: which KMS keys guard the tokens, and in what state are they?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from textual import on
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from crypto_core.keys.state import KeyState
from screens.actions.action import ActionScope
from screens.ages import ago
from screens.facts import Facts
from screens.keys.detail import key_lines
from screens.keys.key_actor import KeyActor
from screens.keys.listing import EXAMPLE, LISTING
from screens.list_screen import ListScreen
from screens.routes import Followed, KeyBehind
from screens.widgets.cursor_view import CursorView
from screens.widgets.hint_line import HintLine
from screens.widgets.notice import Notice
from screens.widgets.table.pane import TablePane


class KeysScreen(KeyActor, ListScreen[KeyState]):
    """All keys that this identity may list, those with most tokens first."""

    CSS_PATH = "screen.tcss"
    NAME = "keys"
    EVERY = 60.0
    ACTS: ClassVar[tuple[ActionScope, ...]] = (ActionScope.KEYS, ActionScope.KEY)

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._listed: tuple[object, object] = (None, None)
        """The keys and the counts of the tokens under them by which the list is sorted and shown."""

    def body(self) -> Iterable[Widget]:
        """Trouble if there is any, the keys, and the one under the cursor at a glance."""
        yield Notice(id="kms")
        yield TablePane(self.facts, LISTING, example=EXAMPLE)
        yield Static(id="glance")
        yield HintLine()

    @property
    def key_in_hand(self) -> str | None:
        """The key under the cursor."""
        key = self.pane.table.current if self.is_mounted and self.query(TablePane) else None
        return key.key_arn if key is not None else None

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        """When KMS told of its keys."""
        return self.facts.keys.at, self.facts.keys.asking

    @property
    def tried(self) -> datetime | None:
        """When KMS did not tell of its keys."""
        return self.facts.keys.tried

    def ask_anew(self) -> None:
        """Ask for the keys anew, and for the tokens under them."""
        self.facts.ask_keys()
        self.facts.ask_status()

    def show_facts(self) -> None:
        """List the keys that are known now."""
        fact = self.facts.keys
        context = ""
        if fact.trouble is not None and fact.at is not None:
            context = f"Showing what was known {ago(fact.at, self.facts.clock())}."
        self.query_one("#kms", Notice).tell(fact.trouble, context)
        waiting_for = "No answer yet: r asks again." if fact.trouble else "Asking KMS for keys…"
        self.pane.wait_for(waiting_for if fact.value is None else "")
        listed = (fact.value, self.facts.status.value)
        if listed != self._listed:
            counted = self._listed[1] is None and listed[1] is not None
            self._listed = listed
            self.pane.refresh_rows(order_known=counted)
        self.show_list()

    @on(TablePane.Changed)
    def show_list(self) -> None:
        """Show where in the list the cursor is, and what is known of the key under it."""
        self._share_height()
        self.show_path(self.pane.note())
        self.refresh_hints(*self.pane.state)
        self._show_glance()

    def cursor_moved(self) -> None:
        """Show what is known of the key under the cursor."""
        self.show_list()

    def on_resize(self) -> None:
        """Divide the lines anew, and draw what is known of the key as wide as there is room."""
        if self._pane is not None:
            self.show_list()

    def _share_height(self) -> None:
        """Give the list as many lines as it needs, up to half of them; the rest is the key's."""
        pane = self.pane
        lines = pane.table.line_count() + 1 + (3 if pane.bar.is_open else 0)
        pane.styles.height = min(max(lines, 4), max(self.size.height * 45 // 100, 4))

    def _show_glance(self) -> None:
        key = self.pane.table.current
        self.query_one(HintLine).say(_hint(key) if key is not None else "")
        glance = self.query_one("#glance", Static)
        glance.display = key is not None
        if key is not None:
            width = max(self.size.width - 2, 10)
            lines = key_lines(key, self.facts.status.value, self.facts.clock(), width)
            name = Content.assemble((self.facts.key_words.long(key.key_arn), "bold"))
            glance.update(Content("\n").join([name, *(line.content for line in lines)]), layout=False)

    @on(CursorView.Chosen)
    def open_key(self, event: Message) -> None:
        """Go to the whole key."""
        event.stop()
        key = self.pane.table.current
        if key is not None:
            self.post_message(Followed(KeyBehind(key.key_arn)))


def _hint(key: KeyState) -> str:
    if key.missing:
        part, reason = next(iter(key.missing.items()))
        return f"Enter: the whole key. {part}: {reason}"
    return "Enter: the whole key, reloaded."
