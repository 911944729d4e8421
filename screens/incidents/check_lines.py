"""What a check saw: a short list, each line with a sign, and all of it in a dialog."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from textual.content import Content

from crypto_core.incidents.model import CheckResult, CheckState, StepView
from crypto_core.values.clean_text import shortened
from crypto_core.values.counts import counted
from screens.ages import ago
from screens.incidents.words import CHECKS, LATE
from screens.signs import Sign
from screens.use.lines import BLANK, prose
from screens.widgets.cells import fit, progress
from screens.widgets.dialog import Told
from screens.widgets.line_list import Line, line

SHORT: Final = 6
"""Lines of a check that stand on the page."""
_NAME = 10
_BARS = dict.fromkeys(CheckState, "$accent") | {CheckState.PASSED: "$success", CheckState.FAILED: "$error"}
_UNKNOWN = re.compile("Not (known|counted:|seen)|CloudTrail: not known|Whether ")
_AGAINST = re.compile(
    "Loses access|Could not be written|Open point|No process works|Last used at|Of these |Can't be opened"
)


def check_lines(
    step: StepView, check: CheckResult | None, width: int, now: datetime, *, looking: bool, trouble: str
) -> Iterator[Line]:
    """Yield how a step's check stands, `check` being what was seen last, and the first of what it saw."""
    kind = step.step.check
    if kind is None or (step.state.ended and step.check is None):
        return
    yield BLANK
    words = kind.value.replace("-", " ")
    seen = check or step.check
    asking = ("  ⟳", "$accent") if looking else ""
    if trouble:
        yield line((fit("check", _NAME), "$muted"), ("? not known", "$warning"), f"  {words}", asking)
        yield from prose(trouble, width - 2, lead="  ", style="$muted")
        return
    if seen is None:
        yield line((fit("check", _NAME), "$muted"), ("not checked yet", "$muted"), f"  {words}", asking)
        return
    sign = CHECKS[seen.state]
    age = f"  {ago(seen.at, now)}" if seen.at is not None else ""
    yield Line(
        Content.assemble(
            (fit("check", _NAME), "$muted"),
            (f"{sign.text} {seen.state.value}", f"bold {sign.style}"),
            f"  {words}",
            (age, "$muted"),
            asking,
        ).truncate(width, ellipsis=True)
    )
    if seen.total:
        yield Line(progress(seen.done, seen.total, width, _BARS[seen.state]))
    if seen.lost and not step.state.ended:
        words = f" accepts {counted(seen.lost, 'token')} as lost that nobody can open"
        yield line(("L", "bold $accent"), (words, "$muted"))
    for text in seen.lines[:SHORT]:
        mark = _sign_of(text, seen.state)
        yield from prose(text, width, lead=f"{mark.text} ", lead_style=mark.style)
    if len(seen.lines) > SHORT:
        yield line(("V", "bold $accent"), (f" shows all {len(seen.lines):,} lines", "$muted"))


def _sign_of(text: str, state: CheckState) -> Sign:
    if _UNKNOWN.match(text):
        return CHECKS[CheckState.UNKNOWN]
    against = state is not CheckState.PASSED and _AGAINST.match(text)
    return LATE if against else Sign("·", "$muted")


def check_details(step: StepView, seen: CheckResult) -> Told:
    signs = ((_sign_of(text, seen.state), text) for text in seen.lines)
    lines = [Content.assemble((f"{sign.text} ", sign.style), text) for sign, text in signs]
    title = shortened(f"Check of step {step.number}: {seen.state.value}", 78)
    return Told(title, Content("\n").join(lines) if lines else Content("It says nothing."))
