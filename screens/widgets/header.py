"""The top of every screen: where the console works, how fresh its data is, and where the operator is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from crypto_core.values.clean_text import shortened
from screens.facts import ScreenFacts
from screens.moments import calmly_ago
from screens.services import Surroundings
from screens.widgets.cells import cut, spread
from screens.widgets.text_lines import TextLines

_AGE_ROOM = 20
"""Cells kept for the data's age and rhythm, so that the rest of the line doesn't move with them."""

_KEPT = 2
"""Account, Region and database: they stay longer than the word keydeck does."""

LEAST_SHOWN = 24
"""Cells that what a screen shows is cut to before what earlier ones show is left out."""

_GROUNDS = {
    "red": "white on #b3202c",
    "amber": "black on #e0a426",
    "green": "white on #1f7a45",
    "blue": "white on #1d5fa8",
    "magenta": "white on #96308f",
}


class Header(Vertical):
    """Two lines, and one more for each side that doesn't answer."""

    DEFAULT_CSS = """
    Header {
        height: auto;
        & > Static { height: auto; padding: 0 1; }
        & > TextLines { text-wrap: nowrap; }
        & > #where { height: 1; background: $header; }
        & > #trouble { background: $error 12%; display: none; }
        & > #trouble.-shown { display: block; }
        & > #crumbs { height: 1; }
    }
    """

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__()
        self._facts = facts
        self._path: Sequence[tuple[str, str]] = ()
        self._note = Content("")
        self._fresh: datetime | None = None
        self._asking = False
        self._rhythm = ""
        self._troubles: list[str] | None = None
        self._due = False
        self._aged: object = None
        """What the first line was put together from."""
        self._where: tuple[object, Content] = (None, Content(""))

    def compose(self) -> ComposeResult:
        yield TextLines(id="where")
        yield Static(id="trouble")
        yield TextLines(id="crumbs")

    def on_mount(self) -> None:
        self._facts.subscribe(self, lambda _: self._show_soon())

    def on_resize(self) -> None:
        self._troubles = None
        self.show()

    def say(
        self,
        path: Sequence[tuple[str, str]],
        note: Content | None,
        at: datetime | None,
        *,
        asking: bool,
        rhythm: str,
    ) -> None:
        """Show the path to this screen and how fresh its data is.

        The path is names and what of them is shown; on its right stands what a list covers, as before where
        `note` is None. `at` is how old the data is; it may be `asking` for newer, as often as `rhythm` says.
        """
        self._path = path
        if note is not None:
            self._note = note
        self._fresh, self._asking, self._rhythm = at, asking, rhythm
        self.show()

    def _show_soon(self) -> None:
        """Paint once, however much is said before anything is painted."""
        if not self._due:
            self._due = True
            self.call_next(self.show)

    def show(self) -> None:
        self._due = False
        width = self.size.width - 2
        if width <= 0 or not self.is_mounted:
            return
        place = self._facts.surroundings
        troubles = [t for t in _troubles(place.value) if t]
        if place.trouble is not None:
            troubles.insert(0, str(place.trouble))
        read_only = self._facts.read_only
        asked = (place.value, bool(troubles), width - _AGE_ROOM, read_only)
        if self._where[0] != asked:
            self._where = (asked, place_line(*asked[:3], read_only=read_only))
        self.show_age()
        self._write(
            "crumbs", spread(self._fitting_crumbs(width - self._note.cell_length - 1), self._note, width)
        )
        if troubles != self._troubles:
            self._troubles = troubles
            lines = [Content.assemble(("✖ ", "$error"), cut(t, width - 2)) for t in troubles]
            trouble = self.query_one("#trouble", Static)
            trouble.set_class(bool(troubles), "-shown")
            trouble.update(Content("\n").join(lines))

    def show_age(self) -> None:
        """Paint how old the data is by now, if that isn't what is painted."""
        width = self.size.width - 2
        age = self._age()
        if self._where[0] is not None and self._aged != (self._where[0], age.plain, width):
            self._aged = self._where[0], age.plain, width
            self._write("where", spread(self._where[1], age, width))

    def _write(self, line: str, content: Content) -> None:
        self.query_one(f"#{line}", TextLines).show((content,))

    def _fitting_crumbs(self, room: int) -> Content:
        """The path; what was shown of the screens before is left out, the oldest first, where room lacks.

        What the screen itself shows may be cut, but not to less than tells what it is.
        """
        line = self._crumbs(0)
        last = cell_len(self._path[-1][1]) if self._path else 0
        spare = max(last - LEAST_SHOWN, 0)
        for bare in range(1, len(self._path)):
            if line.cell_length - spare <= room:
                break
            line = self._crumbs(bare)
        return line

    def _crumbs(self, bare: int) -> Content:
        parts: list[Content] = []
        for number, (name, part) in enumerate(self._path):
            last = number == len(self._path) - 1
            shown = Content.assemble((name, "bold" if last else ""))
            if part and number >= bare:
                shown = Content.assemble(shown, (" › ", "$muted"), (part, "$accent"))
            parts.append(shown if last else shown.stylize_before(f"@click=app.ascend({number})"))
        line = Content.assemble((" › ", "$muted")).join(parts)
        if len(self._path) == 1 and not self._path[0][1]:
            line = Content.assemble(line, (" ›", "$muted"))
        return line

    def _age(self) -> Content:
        rhythm = (f"  {self._rhythm}", "$warning" if self._rhythm == "paused" else "$disabled")
        if self._fresh is None:
            return (
                Content.assemble(("asking…", "$accent"), rhythm) if self._asking else Content.assemble(rhythm)
            )
        age = calmly_ago(self._fresh, self._facts.clock())
        shown = (f"⟳ {age}", "$accent") if self._asking else (age, "$muted")
        return Content.assemble(shown, rhythm)


def _troubles(place: Surroundings | None) -> tuple[str, ...]:
    if place is None:
        return ()
    aws = place.aws_trouble
    if aws and place.credentials_remedy:
        aws = f"{aws} {place.credentials_remedy}"
    return (
        f"database: {place.database_trouble}" if place.database_trouble else "",
        f"AWS: {aws}" if aws else "",
    )


def place_line(place: Surroundings | None, troubled: bool, room: int, *, read_only: bool) -> Content:
    """Return the place in as many words as there is room for, the most important ones first to stay."""
    head = Content.assemble(("keydeck", "bold $accent"), "  ")
    mark = ("[RO]  " if read_only and place is None else "[RO]" if read_only else "", "bold $warning")
    if place is None:
        return Content.assemble(head, mark, ("looking around…", "$muted"))
    environment = shortened(place.environment, 24)
    ground = _GROUNDS.get(place.environment_colour)
    lead = Content.assemble(
        (f" {environment} " if ground else environment, f"bold {ground}" if ground else "bold"),
        " " if environment else "",
        ("✖", "$error") if troubled else ("●", "$success"),
        "  " if read_only else "",
        mark,
    )
    identity = shortened(place.identity, 80).rsplit(":", 1)[-1].replace("assumed-role/", "role/")
    alias = shortened(place.write_key_alias or place.write_key, 60).rsplit("/", 1)[-1]
    # Words in the order in which they stand, each with the rank by which they are left out, highest first.
    words: list[tuple[str, int]] = [
        (shortened(place.account, 20), 1),
        (shortened(place.region, 24), 0),
        (f"profile {shortened(place.profile, 40)}" if place.profile else "", 4),
        (identity, 5 if "/" in identity.partition("/")[2] else 3),
        (f"db {shortened(place.database, 60)}" if place.database else "", 2),
        (f"as {shortened(place.database_role, 40)}" if place.database_role else "", 6),
        (f"writes {shortened(place.write_format, 8)}" + (f" under {alias}" if alias else ""), 7),
    ]
    kept = [(word, rank) for word, rank in words if word]
    short_role = "/".join(identity.split("/")[:2])
    while True:
        line = head + lead + Content("").join(Content.assemble("  ", word) for word, _ in kept)
        if line.cell_length <= room or not kept:
            return line
        worst = max(kept, key=lambda w: w[1])
        if worst[1] <= _KEPT and head:
            head = Content("")
            continue
        at = kept.index(worst)
        if worst[0] == identity and short_role != identity:
            kept[at] = (short_role, 3)
        else:
            del kept[at]
