"""Estates: how do all of them stand, and which needs attention first?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from textual.content import Content

from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from screens.answer_screen import UseScreen
from screens.estate_status import EstateStanding, SharedKey
from screens.facts import ScreenFacts
from screens.moments import ago
from screens.routes import EstateRoute, Followed
from screens.signs import SIGNS, Sign
from screens.use.lines import BLANK, prose
from screens.widgets.cells import bar, fit
from screens.widgets.line_list import Line, line

_TOKENS, _SHARE, _BAR, _PROBLEMS = 11, 10, 12, 14
_ROOMY = 100
"""Cells from which on names have more room, and the share a bar."""
_NOT_KNOWN = Sign("?", "$warning")


@dataclass(frozen=True, slots=True)
class EstatesAnswer:
    """How each stands, and the keys that environments share."""

    standings: tuple[EstateStanding, ...]
    shared: tuple[SharedKey, ...] = ()


class EstatesScreen(UseScreen[EstatesAnswer]):
    """The worst first; Enter goes on working in the one under the cursor."""

    NAME = "estates"
    EVERY = 120.0
    LIMIT = 600.0
    ASKING = "Asking every estate…"
    ACTS: ClassVar[tuple[str, ...]] = ("estates",)

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__(facts)
        self._current = ""

    def ask_for(self, cancelled: Cancellation) -> EstatesAnswer:
        contexts = self.facts.services.contexts
        if contexts is None:
            return EstatesAnswer(())
        self._current = contexts.current().estate
        return EstatesAnswer(*contexts.estates(cancelled))

    def lines(self, answer: EstatesAnswer, width: int) -> Iterable[Line]:
        return estate_lines(answer, self._current, width, self.facts)

    def do_work_there(self) -> None:
        target = self.target_in_hand
        if isinstance(target, EstateRoute):
            self.post_message(Followed(target))


def estate_lines(answer: EstatesAnswer, current: str, width: int, facts: ScreenFacts) -> Iterator[Line]:
    """Yield a heading, each estate, the one with the worst problem first, and the keys that are shared."""
    if not answer.standings:
        yield line(("No estates: [estates] and [databases] in the settings file have them.", "$muted"))
        return
    headings = (
        fit("  estate", _name_cells(width) + 2),
        fit("environment", _environment_cells(width)),
        fit("tokens", _TOKENS, right=True),
        fit("protected", _SHARE, right=True),
        " " * (_BAR + 2) if width >= _ROOMY else "",
        fit("  problems", _PROBLEMS + 2),
        "incidents",
    )
    yield line(("".join(headings), "$muted"))
    for one in sorted(answer.standings, key=lambda one: (not one.trouble, one.worst.rank, one.name)):
        yield _estate(one, current, width, facts)
    for key in answer.shared:
        yield BLANK
        yield from prose(key.words, width, lead="▲ ", lead_style="$warning")


def _estate(one: EstateStanding, current: str, width: int, facts: ScreenFacts) -> Line:
    here = "▶ " if one.name == current else "  "
    sign = _NOT_KNOWN if one.trouble else SIGNS[one.worst]
    head = Content.assemble(
        (here, "$accent"),
        (fit(one.name, _name_cells(width)), "bold"),
        (fit(one.environment, _environment_cells(width)), "$muted"),
    )
    if one.trouble:
        rest = Content.assemble((f"{sign.text} ", sign.style), one.trouble)
        return Line(head.append(rest), EstateRoute(one.name), one.trouble)
    share = one.share if one.share is not None else 1.0
    incidents = counted(one.incidents, "incident") if one.incidents else ""
    problems = counted(one.problems, "problem") if one.problems else "well"
    body = Content.assemble(
        fit(f"{one.tokens:,}", _TOKENS, right=True),
        fit(f"{share:.1%}" if one.share is not None else "-", _SHARE, right=True),
        ("  " + bar(share, _BAR) if width >= _ROOMY else "", sign.style),
        "  ",
        (fit(f"{sign.text} {problems}", _PROBLEMS), sign.style),
        (incidents, "$warning"),
    )
    gaps = f" Not whole: {one.gaps[0]}" if one.gaps else ""
    hint = f"Enter: work there. Counted {ago(one.at, facts.clock())}.{gaps}"
    return Line(head.append(body), EstateRoute(one.name), hint)


def _name_cells(width: int) -> int:
    return 24 if width >= _ROOMY else 14


def _environment_cells(width: int) -> int:
    return 16 if width >= _ROOMY else 11
