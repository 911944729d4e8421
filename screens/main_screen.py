"""What the main screens have in common: the header, the key hints, and an ear for the shared facts."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget

from screens.facts import Facts
from screens.widgets.header import Header
from screens.widgets.key_hints import KeyHints


class MainScreen(Screen[None]):
    """Header, body, key hints. Subclasses give the body and show the facts."""

    AUTO_FOCUS = "CursorView"

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self.facts = facts

    def body(self) -> Iterable[Widget]:
        """The widgets between the header and the key hints."""
        raise NotImplementedError

    def show_facts(self) -> None:
        """Paint what the facts say now."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        """The header, the body, the key hints."""
        yield Header(self.facts)
        yield from self.body()
        yield KeyHints()

    def on_mount(self) -> None:
        """Follow the facts."""
        self.facts.subscribe(self, lambda _: self.show_facts())
        self.show_facts()

    @property
    def header(self) -> Header:
        """The screen's header."""
        return self.query_one(Header)
