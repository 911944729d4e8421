"""The top of every screen: where the console works, how fresh its data is, and where the operator is."""

from __future__ import annotations

from datetime import datetime

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from crypto_core.foreign import clean
from screens.ages import ago
from screens.facts import Facts
from screens.services import Surroundings
from screens.widgets.cells import cut, spread

_AGE_ROOM = 13
"""Cells kept for the data's age, so that the rest of the line doesn't move with it."""


class Header(Vertical):
    """Two lines, and one more for each side that doesn't answer."""

    DEFAULT_CSS = """
    Header {
        height: auto;
        & > Static { height: auto; padding: 0 1; }
        & > #where { height: 1; background: $header; }
        & > #trouble { background: $error 12%; display: none; }
        & > #trouble.-shown { display: block; }
        & > #crumbs { height: 1; }
    }
    """

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self._facts = facts
        self._crumbs = Content("")
        self._note = Content("")
        self._fresh: datetime | None = None
        self._asking = False
        self._troubles: list[str] | None = None

    def compose(self) -> ComposeResult:
        """The place, its troubles, and the path to this screen."""
        yield Static(id="where")
        yield Static(id="trouble")
        yield Static(id="crumbs")

    def on_mount(self) -> None:
        """Follow the facts, and let ages grow."""
        self._facts.subscribe(self, lambda _: self.show())
        self.set_interval(1, self.show)

    def on_resize(self) -> None:
        """What fits depends on the width."""
        self._troubles = None
        self.show()

    def say(self, crumbs: Content, note: Content | None = None) -> None:
        """Show the path to this screen, and on its right what a list covers."""
        self._crumbs, self._note = crumbs, note or Content("")
        self.show()

    def fresh(self, at: datetime | None, *, asking: bool) -> None:
        """Show how old the screen's data is, and whether newer is being asked for."""
        self._fresh, self._asking = at, asking
        self.show()

    def show(self) -> None:
        """Paint all lines."""
        width = self.size.width - 2
        if width <= 0 or not self.is_mounted:
            return
        place = self._facts.surroundings
        troubles = [t for t in _troubles(place.value) if t]
        if place.trouble is not None:
            troubles.insert(0, str(place.trouble))
        where = _place(place.value, bool(troubles), width - _AGE_ROOM)
        self.query_one("#where", Static).update(spread(where, self._age(), width), layout=False)
        self.query_one("#crumbs", Static).update(spread(self._crumbs, self._note, width), layout=False)
        if troubles != self._troubles:
            self._troubles = troubles
            lines = [Content.assemble(("✖ ", "$error"), cut(t, width - 2)) for t in troubles]
            trouble = self.query_one("#trouble", Static)
            trouble.set_class(bool(troubles), "-shown")
            trouble.update(Content("\n").join(lines))

    def _age(self) -> Content:
        if self._fresh is None:
            return Content.assemble(("asking…", "$accent")) if self._asking else Content("")
        sign = ("⟳ ", "$accent") if self._asking else ""
        return Content.assemble(sign, (ago(self._fresh, self._facts.clock()), "$muted"))


def _troubles(place: Surroundings | None) -> tuple[str, ...]:
    if place is None:
        return ()
    return (
        f"database: {place.database_trouble}" if place.database_trouble else "",
        f"AWS: {place.aws_trouble}" if place.aws_trouble else "",
    )


def _place(place: Surroundings | None, troubled: bool, room: int) -> Content:
    """The place in as many words as there is room for."""
    head = Content.assemble(("keydeck", "bold $accent"), "  ")
    if place is None:
        return Content.assemble(head, ("looking around…", "$muted"))
    environment = clean(place.environment, 24)
    lead = Content.assemble(
        head,
        (f"{environment} " if environment else "", "bold"),
        ("✖", "$error") if troubled else ("●", "$success"),
        ("  [RO]" if place.read_only else "", "bold $warning"),
    )
    identity = clean(place.identity, 80).rsplit(":", 1)[-1].replace("assumed-role/", "role/")
    role = "/".join(identity.split("/")[:2])
    database = f"db {clean(place.database, 60)}" if place.database else ""
    where = (clean(place.account, 20), clean(place.region, 24))
    as_role = f"as {clean(place.database_role, 40)}" if place.database_role else ""
    for words in (
        (*where, identity, database, as_role),
        (*where, identity, database),
        (*where, role, database),
        (*where, database),
        where,
    ):
        line = lead + Content("").join(Content.assemble("  ", word) for word in words if word)
        if line.cell_length <= room:
            break
    return line
