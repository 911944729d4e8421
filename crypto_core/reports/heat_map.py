"""Days across, rows down: what each row came to, drawn in shapes that differ without their colours, too.

Days in a row with one look are one run. A map always stands beside a table that says the same in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from html import escape

from crypto_core.lists.tone import Tone

LABEL, WIDTH, ROW = 190, 700, 16
"""Units of a drawing: the width of labels and of all days, the height of a row."""
HEAD = 14
"""Units above the rows, for the months."""
_SIGN_ROOM = 9
"""Units that a run must be wide for its sign to be drawn."""


class HeatLook(Enum):
    """How days look: a sign, a tone, how many units high, and whether filled."""

    GOOD = ("●", Tone.GOOD, 4, True)
    PARTLY = ("▲", Tone.WARNING, 8, True)
    OPEN = ("?", Tone.WARNING, 8, False)
    BAD = ("✖", Tone.BAD, 13, True)
    EXCEPTED = ("◌", Tone.BAD, 13, False)
    GAP = ("·", Tone.QUIET, 0, False)

    @property
    def sign(self) -> str:
        """Its sign."""
        return self.value[0]

    @property
    def tone(self) -> Tone:
        """Its tone."""
        return self.value[1]

    @property
    def height(self) -> int:
        """Units; 0 for a mere line."""
        return self.value[2]

    @property
    def filled(self) -> bool:
        """Whether it is filled; a frame where not."""
        return self.value[3]


@dataclass(frozen=True, slots=True)
class HeatRun:
    """Days in a row with one look. `first` counts from 0; `title` says what they are, in words."""

    first: int
    days: int
    look: HeatLook
    title: str


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One row with its label."""

    label: str
    runs: tuple[HeatRun, ...]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A map. `ticks` are days with what stands above them; `legend` says what each look means."""

    caption: str
    days: int
    ticks: tuple[tuple[int, str], ...]
    rows: tuple[HeatRow, ...]
    legend: tuple[tuple[HeatLook, str], ...]

    def place(self, day: int) -> float:
        """Return where a day begins, in units from the left."""
        return LABEL + WIDTH * day / max(self.days, 1)

    @property
    def height(self) -> int:
        """Units of the whole drawing."""
        return HEAD + ROW * len(self.rows) + 2

    @property
    def words(self) -> str:
        """The map in words, for whoever hears the page."""
        told = (f"{row.label}: {'; '.join(run.title for run in row.runs)}." for row in self.rows)
        return f"{self.caption}. {' '.join(told)}"


def as_svg(shown: HeatMap, name: str) -> Iterator[str]:
    """Yield the map as a figure of an HTML page; `name` is an id of its own there."""
    yield '<figure class="map">'
    yield (
        f'<svg viewBox="0 0 {LABEL + WIDTH} {shown.height}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(shown.caption)}</title>'
        f'<desc id="{name}-d">{escape(shown.words)}</desc>'
    )
    for day, text in shown.ticks:
        x = _units(shown.place(day))
        yield f'<line x1="{x}" x2="{x}" y1="{HEAD - 3}" y2="{shown.height}"/>'
        yield f'<text x="{x}" y="9">{escape(text)}</text>'
    for number, row in enumerate(shown.rows):
        top = HEAD + ROW * number
        yield f'<text x="0" y="{top + 12}" class="label">{escape(row.label)}</text>'
        for run in row.runs:
            yield _run(shown, run, top)
    legend = ", ".join(f"{look.sign} {escape(text)}" for look, text in shown.legend)
    yield f"</svg><figcaption>{escape(shown.caption)}: {legend}.</figcaption></figure>"


def _run(shown: HeatMap, run: HeatRun, top: int) -> str:
    look = run.look
    left, right = shown.place(run.first), shown.place(run.first + run.days)
    high = max(look.height, 1)
    frame = "" if look.filled else " frame"
    drawn = (
        f'<rect x="{_units(left)}" y="{_units(top + 1 + (13 - high) / 2)}" width="{_units(right - left)}" '
        f'height="{high}" class="{look.tone.value}{frame}"><title>{escape(run.title)}</title></rect>'
    )
    if right - left < _SIGN_ROOM or look is HeatLook.GOOD:
        return drawn
    middle = _units((left + right) / 2)
    return f'{drawn}<text x="{middle}" y="{top + 11}" class="sign{frame}">{look.sign}</text>'


def _units(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


MAP_STYLES = """\
.map { margin: 0 0 1.2rem; }
.map svg { display: block; width: 100%; height: auto; overflow: visible; }
.map line { stroke: var(--line); stroke-width: 1; }
.map text { font-size: 9px; fill: var(--soft); }
.map .label { fill: var(--ink); }
.map .sign { text-anchor: middle; fill: var(--page); }
.map .sign.frame { fill: var(--ink); }
.map rect.good { fill: var(--good); }
.map rect.warning { fill: var(--warning); }
.map rect.bad { fill: var(--bad); }
.map rect.quiet { fill: var(--soft); }
.map rect.frame.warning { fill: none; stroke: var(--warning); }
.map rect.frame.bad { fill: none; stroke: var(--bad); stroke-dasharray: 3 1; }
.map figcaption { color: var(--soft); font-size: 0.8rem; }
.map rect { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
"""
