"""Keys: which KMS keys guard the tokens, and in what state are they?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from crypto_core.keys.state import KeyState
from crypto_core.lists.filter_language import ValueKind
from crypto_core.lists.sheet import Sheet, SheetField
from crypto_core.values.key_names import is_multi_region
from screens.facts import ScreenFacts
from screens.key_words import KeyWords
from screens.keys.detail import key_lines
from screens.keys.key_actor import KeyActor
from screens.keys.words import UNKNOWN, rotation_words, state_words
from screens.list_screen import ListScreen
from screens.routes import KeyRoute
from screens.widgets.notice import HintLine, NoticeBar
from screens.widgets.panes import Arrangement, Panes
from screens.widgets.table.columns import Cell
from screens.widgets.table.pane import TablePane
from screens.widgets.table.table_list import memory_listing


class KeysScreen(KeyActor, ListScreen[KeyState]):
    CSS_PATH = "screen.tcss"
    NAME = "keys"
    EVERY = 60.0
    ACTS: ClassVar[tuple[str, ...]] = ("key",)

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__(facts)
        self._listed: tuple[object, object] = (None, None)
        """The keys and the counts of the tokens under them by which the list is sorted and shown."""

    def body(self) -> Iterable[Widget]:
        yield NoticeBar()
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
        return self.row_in_hand.key_arn if self.row_in_hand is not None else None

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        return self.facts.keys.at, self.facts.keys.asking

    @property
    def tried(self) -> datetime | None:
        return self.facts.keys.tried

    def ask_anew(self) -> None:
        self.facts.ask_keys()
        self.facts.ask_status()

    def show_facts(self) -> None:
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
        self.share_height()
        self.show_path(self.pane.note())
        self.refresh_hints(*self.pane.state)
        self._show_glance()

    def on_resize(self) -> None:
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
        return KeyRoute(row.key_arn)


def _hint(key: KeyState) -> str:
    if key.missing:
        part, reason = next(iter(key.missing.items()))
        return f"Enter: the whole key. {part}: {reason}"
    return "Enter: the whole key, reloaded."


def tokens_under(key: KeyState, facts: ScreenFacts) -> int | None:
    status = facts.status.value
    return status.tokens_under(key.key_arn) if status is not None else None


def _name(key: KeyState, _facts: ScreenFacts) -> Cell:
    if is_multi_region(key.key_arn):
        # Replicas have one id: the Region tells them apart.
        return f"{key.name} {key.region}", "bold"
    return KeyWords([key]).long(key.key_arn), "bold"


def _aliases(key: KeyState, _facts: ScreenFacts) -> tuple[str, ...]:
    return key.aliases or (key.name,)


def _names(key: KeyState, _facts: ScreenFacts) -> tuple[str, ...]:
    return key.key_arn, key.key_arn.rsplit("/", 1)[-1], *key.aliases


def _rotates(key: KeyState, _facts: ScreenFacts) -> str:
    return _ROTATES[key.rotation_enabled]


def _state(key: KeyState, facts: ScreenFacts) -> Cell:
    sign, words = state_words(key, facts.moment)
    return words, "" if sign.style == "$success" else sign.style


def _material(key: KeyState, facts: ScreenFacts) -> Cell:
    generation = facts.key_words.generation(key.key_arn, key.current_material_id)
    return (generation, "") if generation else UNKNOWN


def _tokens(key: KeyState, facts: ScreenFacts) -> Cell:
    count = tokens_under(key, facts)
    return UNKNOWN if count is None else (f"{count:,}", "bold" if count else "$muted")


_ROTATES = {True: "on", False: "off", None: "unknown"}
_DATE: dict[str, Any] = {"find": True, "kind": ValueKind.DATE, "order": True}

SHEET: Sheet[KeyState, ScreenFacts] = Sheet(
    "key",
    "keys",
    (
        SheetField("name", _name, (24, 48, 0), "key", free=True, find=_aliases, also="alias", order=True),
        SheetField("key", find=_names, free=True, listed=False),
        SheetField("state", _state, (16, 20, 1), free=True, order=True),
        SheetField("spec", None, (17, 20, 6), nothing=UNKNOWN, free=True, order=True),
        SheetField(
            "rotation",
            lambda key, _: rotation_words(key),
            (9, 10, 3),
            find=_rotates,
            values=tuple(_ROTATES.values()),
            order=lambda key, _: key.rotation_period_days if key.rotation_enabled else None,
        ),
        SheetField("material", _material, (8, 10, 7)),
        SheetField(
            "tokens",
            _tokens,
            (8, 12, 2),
            find=tokens_under,
            kind=ValueKind.NUMBER,
            order=tokens_under,
            right=True,
        ),
        SheetField("used", None, (9, 12, 4), "last used", "last_used_at", nothing=UNKNOWN, **_DATE),
        SheetField("region", None, (12, 16, 8), "Region", free=True, order=True, shown=False),
        SheetField("origin", None, (10, 16, 9), nothing=UNKNOWN, find=True, order=True, shown=False),
        SheetField("created", None, (8, 12, 10), "", "created_at", "$muted", UNKNOWN, shown=False, **_DATE),
        SheetField("manager", find=True, listed=False),
    ),
)

LISTING = memory_listing(
    "keys",
    SHEET,
    lambda facts: facts.keys.value or (),
    sort="tokens",
    descending=True,
    identity=lambda key: f"{key.name} {key.key_arn}",
    reference=lambda key: key.key_arn,
    sign=lambda key, facts: state_words(key, facts.moment)[0],
    nothing="KMS shows no key to this identity in this Region.\n"
    "Listing takes kms:ListKeys and kms:DescribeKey. Is the Region right? c chooses another.",
)
EXAMPLE = "state:Disabled rotation:off -name:*reports*"
