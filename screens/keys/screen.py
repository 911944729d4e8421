"""Keys: which KMS keys guard the tokens, and in what state are they?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from crypto_core.keys.state import KeyState
from screens.actions.action import ActionScope
from screens.facts import Facts
from screens.keys.detail import key_lines
from screens.keys.key_actor import KeyActor
from screens.keys.listing import EXAMPLE, LISTING
from screens.list_screen import ListScreen
from screens.routes import KeyRoute
from screens.widgets.hint_line import HintLine
from screens.widgets.notice import Notice
from screens.widgets.panes import Arrangement, Panes
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
        yield Notice()
        yield Panes(
            self.facts,
            TablePane(self.facts, LISTING, example=EXAMPLE),
            Static(id="glance"),
            arranged=self.show_list,
            narrow=Arrangement.BELOW,
        )
        yield HintLine()

    @property
    def key_in_hand(self) -> str | None:
        """The key under the cursor."""
        return self.row_in_hand.key_arn if self.row_in_hand is not None else None

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        """When KMS last listed its keys."""
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
        self.say_trouble(fact)
        waiting_for = "No answer yet: r asks again." if fact.trouble else "Asking KMS for keys…"
        self.pane.wait_for(waiting_for if fact.value is None else "")
        listed = (fact.value, self.facts.status.value)
        if listed != self._listed:
            counted = self._listed[1] is None and listed[1] is not None
            self._listed = listed
            self.pane.refresh_rows(order_known=counted)
        self.show_list()

    def show_list(self) -> None:
        """Show where in the list the cursor is, and what is known of the key under it."""
        self.share_height()
        self.show_path(self.pane.note())
        self.refresh_hints(*self.pane.state)
        self._show_glance()

    def on_resize(self) -> None:
        """Divide the lines anew, and draw what is known of the key as wide as there is room."""
        if self._pane is not None:
            self.show_list()

    def _show_glance(self) -> None:
        key = self.pane.table.current
        self.query_one(HintLine).say(_hint(key) if key is not None else "")
        glance = self.query_one("#glance", Static)
        glance.visible = key is not None
        if key is not None:
            width = self.panes.detail_cells
            lines = key_lines(key, self.facts.status.value, self.facts.clock(), width)
            name = Content.assemble((self.facts.key_words.long(key.key_arn), "bold"))
            glance.update(Content("\n").join([name, *(line.content for line in lines)]), layout=False)

    def route_of(self, row: KeyState) -> KeyRoute:
        """The whole key."""
        return KeyRoute(row.key_arn)


def _hint(key: KeyState) -> str:
    if key.missing:
        part, reason = next(iter(key.missing.items()))
        return f"Enter: the whole key. {part}: {reason}"
    return "Enter: the whole key, reloaded."
