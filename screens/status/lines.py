"""The status as lines: what is wrong, worst first, then keys and columns. Each leads to what is behind it."""

from __future__ import annotations

from textual.content import Content

from crypto_core.foreign import clean
from crypto_core.keys.status import Problem, Status
from crypto_core.severity import Severity
from screens.routes import KeyBehind, TokensBehind
from screens.signs import SIGNS
from screens.widgets.cells import cut, fit, percent, spread, tokens
from screens.widgets.line_list import Line


def answer_lines(status: Status, width: int) -> list[Line]:
    """Are we all right? One line, then the problems, then what wasn't looked at."""
    return [
        Line(_answer(status, width)),
        *(_problem(problem, width) for problem in sorted(status.problems, key=lambda p: p.severity.rank)),
        *(_gap(reason, width) for reason in status.coverage.reasons),
    ]


def _answer(status: Status, width: int) -> Content:
    count = len(status.problems)
    if count:
        sign = SIGNS[min((p.severity for p in status.problems), key=lambda s: s.rank)]
        left = Content.assemble(
            (sign.text, sign.style), (f" {count} problem{'s' if count > 1 else ''}", f"bold {sign.style}")
        )
    elif not status.coverage.complete:
        left = Content.assemble(("▲", "$warning"), (" No problem in what could be looked at", "bold"))
    elif status.tokens:
        left = Content.assemble(("●", "$success"), (" All is well", "bold $success"))
    else:
        left = Content.assemble(("○", "$muted"), (" No tokens are stored", "bold"))
    share = percent(status.protected, status.tokens)
    right = Content.assemble((tokens(status.tokens), "bold"), "   ", (share, "bold"), " protected")
    return spread(left, right, width)


def _problem(problem: Problem, width: int) -> Line:
    sign = SIGNS[problem.severity]
    word = fit(problem.severity.value, 9)
    room = width - 12
    title_width = min(max(len(clean(problem.title)) + 2, room // 2), room)
    content = Content.assemble(
        (sign.text, sign.style),
        " ",
        (word, sign.style),
        (fit(problem.title, title_width), "bold" if problem.severity.rank <= Severity.HIGH.rank else ""),
        (cut(problem.where, room - title_width), "$muted"),
    )
    if problem.filter is not None:
        return Line(
            content, TokensBehind(problem.filter), hint=_hint(problem.remedy, "Enter: the tokens behind it.")
        )
    if problem.key_arn is not None:
        return Line(
            content, KeyBehind(problem.key_arn), hint=_hint(problem.remedy, "Enter: the key behind it.")
        )
    return Line(content, hint=problem.remedy)


def _hint(remedy: str, enter: str) -> str:
    return f"{clean(remedy)} {enter}".strip()


def _gap(reason: str, width: int) -> Line:
    return Line(
        Content.assemble(("▲", "$warning"), " ", (fit("not seen", 9), "$warning"), cut(reason, width - 12))
    )
