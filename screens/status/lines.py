"""Are we all right? One line answers; the problems follow, worst first, each leading to its rows or key."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content

from crypto_core.findings.severity import Severity
from crypto_core.keys.status import Problem, Status
from crypto_core.text.counting import counted
from screens.routes import KeyRoute, TokensRoute
from screens.signs import SIGNS
from screens.widgets.cells import cut, fit, percent, spread
from screens.widgets.line_list import Line, line

_WORD = 9


def answer_lines(status: Status, width: int, *, remedies: bool) -> list[Line]:
    """Return the answer, the problems, and what wasn't looked at; with `remedies`, what to do below each."""
    problems = sorted(status.problems, key=lambda p: p.severity.rank)
    count_width = max((len(f"{p.tokens:,}") for p in problems), default=0) + 2
    lead = 2 + _WORD + count_width
    room = width - lead
    longest = max((cell_len(p.title) for p in problems), default=0)
    title_width = min(longest + 2, room // 2)
    lines = [Line(_answer(status, width))]
    for problem in problems:
        lines.append(_problem(problem, count_width, title_width, room))
        if remedies and problem.remedy:
            lines.append(line(" " * lead, (cut(problem.remedy, room), "$muted")))
    lines += [_gap(reason, width - 2 - _WORD) for reason in status.coverage.reasons]
    return lines


def _answer(status: Status, width: int) -> Content:
    count = len(status.problems)
    if count:
        sign = SIGNS[min((p.severity for p in status.problems), key=lambda s: s.rank)]
        words = f" {count} problem{'s' if count > 1 else ''}"
        left = Content.assemble(sign, (words, f"bold {sign.style}"))
    elif not status.coverage.complete:
        left = Content.assemble(SIGNS[Severity.HIGH], (" No problem in what could be checked", "bold"))
    elif status.tokens:
        left = Content.assemble(SIGNS[Severity.NONE], (" All is well", "bold $success"))
    else:
        left = Content.assemble(SIGNS[Severity.LOW], (" No tokens are stored", "bold"))
    share = percent(status.protected, status.tokens)
    right = Content.assemble((counted(status.tokens, "token"), "bold"), "   ", (share, "bold"), " protected")
    return spread(left, right, width)


def _problem(problem: Problem, count_width: int, title_width: int, room: int) -> Line:
    """How many tokens, what is wrong with them, where. A title that is longer than most pushes the last."""
    sign = SIGNS[problem.severity]
    title_width = min(max(title_width, cell_len(problem.title) + 2), room)
    count = f"{problem.tokens:,}" if problem.tokens else ""
    content = Content.assemble(
        sign,
        " ",
        (fit(problem.severity.value, _WORD), sign.style),
        (fit(count, count_width - 1, right=True) + " ", "bold"),
        (fit(problem.title, title_width), "bold" if problem.severity.rank <= Severity.HIGH.rank else ""),
        (cut(problem.where, room - title_width), "$muted"),
    )
    if problem.filter is not None:
        return Line(content, TokensRoute(problem.filter), f"Enter: these tokens. {problem.remedy}")
    if problem.key_arn is not None:
        return Line(content, KeyRoute(problem.key_arn), f"Enter: the key. {problem.remedy}")
    return Line(content, hint=problem.remedy)


def _gap(reason: str, room: int) -> Line:
    return line(SIGNS[Severity.HIGH], " ", (fit("not seen", _WORD), "$warning"), cut(reason, room))
