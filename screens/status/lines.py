"""Are we all right? One line answers; the problems follow, worst first, each leading to its rows or key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content

from crypto_core.findings.finding import Finding
from crypto_core.findings.severity import Severity
from crypto_core.keys.status import Status
from crypto_core.text.counting import counted
from screens.routes import FindingsRoute, KeyRoute
from screens.signs import SIGNS
from screens.status.problem_rows import ProblemRow, shown_rows
from screens.widgets.cells import cut, fit, percent, spread
from screens.widgets.line_list import Line, line

_WORD = 9
_FEWEST_FINDINGS = 4
_ENTER = {KeyRoute: "Enter: the key.", FindingsRoute: "Enter: the finding."}


def answer_lines(
    status: Status, rows: Sequence[ProblemRow], examined: str, width: int, *, height: int
) -> list[Line]:
    """Return the answer, the problems, and what wasn't looked at.

    `examined` says how far findings are known. Where a page of `height` lines has room for it, what to do
    stands below each problem, and the evidence below each finding.
    """
    listed, left = shown_rows(rows, max(height // 5, _FEWEST_FINDINGS))
    count_width = max((len(f"{row.tokens:,}") for row in listed), default=0) + 2
    lead = 2 + _WORD + count_width
    room = width - lead
    titles = sorted(cell_len(row.title) for row in listed)
    title_width = min(titles[(len(titles) - 1) * 2 // 3] + 2, room // 2) if titles else 0
    lines = [Line(_answer(status, rows, examined, width))]
    for row in listed:
        lines.append(_problem(row, count_width, title_width, room))
        if len(listed) * 2 < height and row.below:
            lines.append(line(" " * lead, (cut(row.below, room), "$muted")))
    if left:
        lines.append(_others(left))
    lines += [_gap(reason, width - 2 - _WORD) for reason in status.coverage.reasons]
    return lines


def _answer(status: Status, rows: Sequence[ProblemRow], examined: str, width: int) -> Content:
    problems = len(status.problems)
    findings = sum(isinstance(row.about, Finding) for row in rows)
    counts = [
        counted(number, word) for number, word in ((problems, "problem"), (findings, "finding")) if number
    ]
    if counts:
        sign = SIGNS[min((row.severity for row in rows), key=lambda s: s.rank)]
        left = Content.assemble(sign, (f" {' · '.join(counts)}", f"bold {sign.style}"))
    elif not status.coverage.complete:
        left = Content.assemble(SIGNS[Severity.HIGH], (" No problem in what could be checked", "bold"))
    elif status.tokens:
        left = Content.assemble(SIGNS[Severity.NONE], (" All is well", "bold $success"))
    else:
        left = Content.assemble(SIGNS[Severity.LOW], (" No tokens are stored", "bold"))
    if examined:
        left = Content.assemble(left, (f"   {examined}", "$muted"))
    share = percent(status.protected, status.tokens)
    right = Content.assemble((counted(status.tokens, "token"), "bold"), "   ", (share, "bold"), " protected")
    return spread(left, right, width)


def _problem(row: ProblemRow, count_width: int, title_width: int, room: int) -> Line:
    """How many tokens, what is wrong with them, where. A title that is longer than most pushes the last."""
    sign = SIGNS[row.severity]
    title_width = min(max(title_width, cell_len(row.title) + 2), room)
    count = f"{row.tokens:,}" if row.tokens else ""
    content = Content.assemble(
        sign,
        " ",
        (fit(row.severity.value, _WORD), sign.style),
        (fit(count, count_width - 1, right=True) + " ", "bold"),
        (fit(row.title, title_width), "bold" if row.severity.grave else ""),
        (cut(row.where, room - title_width), "$muted"),
    )
    enter = _ENTER.get(type(row.target), "Enter: these tokens.") if row.target is not None else ""
    hint = row.advice if "Enter" in row.advice else f"{enter} {row.advice}".strip()
    return Line(content, row.target, hint)


def _others(left: Sequence[ProblemRow]) -> Line:
    """The findings that there is no room for, by their severity."""
    by_severity = Counter(row.severity for row in left)
    parts = ", ".join(
        f"{by_severity[severity]:,} {severity}" for severity in Severity if by_severity[severity]
    )
    words = f"  … {counted(len(left), 'more finding')}: {parts}"
    return line((words, "$muted"), target=FindingsRoute(""), hint="Enter: all findings.")


def _gap(reason: str, room: int) -> Line:
    sign = SIGNS[Severity.HIGH]
    return line(sign, " ", (fit("not seen", _WORD), sign.style), cut(reason, room))
