"""Beside the list of Status: the problem or key under the cursor whole, and the last 24 hours."""

from __future__ import annotations

from collections.abc import Iterator

from textual.content import Content

from crypto_core.keys.state import KeyState
from screens.events.histogram import bar_lines, ends
from screens.facts import ScreenFacts
from screens.findings.words import finding_facts
from screens.keys.detail import key_lines
from screens.signs import SIGNS
from screens.status.lines import RecentUse
from screens.status.problem_rows import ProblemRow

_BARS_HIGH = 4
_EVENTS = 3
"""Events of a finding that are named."""


def side_content(
    row: ProblemRow | None, key: KeyState | None, use: RecentUse | None, facts: ScreenFacts, width: int
) -> Content:
    parts = [] if row is None else [*_problem(row, width), Content("")]
    if key is not None:
        parts.append(Content.assemble((facts.key_words.long(key.key_arn), "bold")))
        parts += [line.content for line in key_lines(key, facts.status.value, facts.clock(), width)]
        parts.append(Content(""))
    if use is not None and use.histogram is not None:
        parts.append(Content.assemble(("events in 24 h, without those of AWS services", "bold")))
        parts += bar_lines(use.histogram, None, width, _BARS_HIGH)
        parts.append(ends(use.histogram, facts.clock(), width))
    return Content("\n").join(parts)


def _problem(row: ProblemRow, width: int) -> Iterator[Content]:
    found = row.finding
    sign = SIGNS[found.severity]
    count = f"{found.tokens:,} " if found.tokens else ""
    title = Content.assemble(
        sign, " ", (found.severity.value, sign.style), "  ", (f"{count}{found.title}", "bold")
    )
    yield from title.wrap(width)
    if row.of_status:
        for place in row.where.split(" · "):
            yield from Content(place).wrap(width)
    else:
        for name, text in finding_facts(found, _EVENTS):
            if name != "remedy":
                yield from Content.assemble((f"{name:<10}", "$muted"), text).wrap(width)
    yield from Content.assemble(("→ ", "$accent"), row.advice).wrap(width)
