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


class Header(Vertical):
    """Two lines, and one more for each side that doesn't answer."""

    DEFAULT_CSS = """
    Header {
        height: auto;
        & > Static { height: auto; padding: 0 1; }
        & > #where { background: $header; }
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
        age = self._age()
        room = width - age.cell_length - 2
        self.query_one("#where", Static).update(spread(_place(place.value, bool(troubles), room), age, width))
        trouble = self.query_one("#trouble", Static)
        trouble.set_class(bool(troubles), "-shown")
        trouble.update(
            Content("\n").join(Content.assemble(("✖ ", "$error"), cut(t, width - 2)) for t in troubles)
        )
        self.query_one("#crumbs", Static).update(spread(self._crumbs, self._note, width))

    def _age(self) -> Content:
        if self._asking:
            old = f"{ago(self._fresh, self._facts.clock())} · " if self._fresh else ""
            return Content.assemble((f"{old}asking…", "$accent"))
        if self._fresh is None:
            return Content("")
        return Content.assemble((ago(self._fresh, self._facts.clock()), "$muted"))


def _troubles(place: Surroundings | None) -> tuple[str, ...]:
    if place is None:
        return ()
    return (
        f"database: {place.database_trouble}" if place.database_trouble else "",
        f"AWS: {place.aws_trouble}" if place.aws_trouble else "",
    )


def _place(place: Surroundings | None, troubled: bool, room: int) -> Content:
    """The place in as many words as there is room for; what matters most comes first to stay."""
    head = Content.assemble(("keydeck", "bold $accent"))
    if place is None:
        return Content.assemble(head, ("  looking around…", "$muted"))
    sign = ("✖", "$error") if troubled else ("●", "$success")
    environment = clean(place.environment, 24)
    identity = clean(place.identity, 80).rsplit(":", 1)[-1]
    role = clean(place.database_role, 40)
    # (text, style, rank): the highest rank goes first when the room is short.
    words: list[tuple[str, str, int]] = [
        (environment, "bold", 1),
        (clean(place.account, 20), "", 2),
        (clean(place.region, 24), "", 2),
        (identity, "", 3),
        (f"db {clean(place.database, 60)}" if place.database else "", "", 2),
        (f"as {role}" if role else "", "$muted", 4),
    ]
    words = [(text, style, rank) for text, style, rank in words if text]
    badge = ("[RO]", "bold $warning") if place.read_only else None
    fixed = head.cell_length + 3 + (len(badge[0]) + 2 if badge else 0)
    while words and fixed + sum(len(text) + 2 for text, _, _ in words) > room:
        worst = max(rank for _, _, rank in words)
        if worst <= 2:
            break
        words = [w for w in words if w[2] != worst]
    parts: list[Content | str | tuple[str, str]] = [head, "  "]
    if words and words[0][2] == 1:
        first = words.pop(0)
        parts += [(first[0], first[1]), " "]
    parts.append(sign)
    if badge is not None:
        parts += [" ", badge]
    for text, style, _ in words:
        parts += ["  ", (text, style) if style else text]
    return Content.assemble(*parts)
