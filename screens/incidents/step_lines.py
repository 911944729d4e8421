"""One step in words: what for, how it stands in its time, what proves it, what comes next.

Of what a check saw there is a short list, each line with a sign, and all of it in a dialog.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from textual.content import Content

from crypto_core.database.state.incident_records import EvidencePiece
from crypto_core.incidents import model
from crypto_core.incidents.key_callers import MINUTES, KeyCaller, KeyCallers
from crypto_core.incidents.model import CheckResult, CheckState, StepView
from crypto_core.incidents.runbooks import placeholders
from crypto_core.incidents.steps.step_checks import not_done
from crypto_core.incidents.suspects import Suspects
from crypto_core.keys.changes.blocks import Block
from crypto_core.values.clean_text import shortened
from crypto_core.values.counts import counted
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.identities import person
from screens.incidents.choices import SAFE
from screens.incidents.step_runs import CallResult, RunningCall
from screens.incidents.words import CHECKS, LATE, budget, commands_of, filled, step_sign
from screens.key_changes.block_lines import SIGN, block_words
from screens.moments import ago, local
from screens.signs import Sign
from screens.use.lines import BLANK, prose
from screens.widgets.cells import cut, fit, progress, spread
from screens.widgets.dialog import Told
from screens.widgets.line_list import Line, line

SHORT: Final = 6
"""Lines of a check that stand on the page."""
_NAME = 10
_BARS = dict.fromkeys(CheckState, "$accent") | {CheckState.PASSED: "$success", CheckState.FAILED: "$error"}
_NOT_KNOWN = re.compile("Not (known|counted:|seen)|CloudTrail: not known|Whether ")
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
    if _NOT_KNOWN.match(text):
        return CHECKS[CheckState.UNKNOWN]
    against = state is not CheckState.PASSED and _AGAINST.match(text)
    return LATE if against else Sign("·", "$muted")


def check_details(step: StepView, seen: CheckResult) -> Told:
    signs = ((_sign_of(text, seen.state), text) for text in seen.lines)
    lines = [Content.assemble((f"{sign.text} ", sign.style), text) for sign, text in signs]
    title = shortened(f"Check of step {step.number}: {seen.state.value}", 78)
    return Told(title, Content("\n").join(lines) if lines else Content("It says nothing."))


_LOW = 60
"""A narrower step is on a terminal that is low too."""
_MOST_LINES = 40
"""Lines of an outcome that are shown."""


@dataclass(frozen=True, slots=True)
class StepNow:
    """What this console knows of a step besides what is kept of it."""

    check: model.CheckResult | None = None
    looking: bool = False
    check_trouble: str = ""
    run: RunningCall | None = None
    outcome: CallResult | None = None
    waiting: str = ""
    """A sentence about the request for approval, "" without one."""
    approved: bool = False
    suspects: Suspects | None = None
    """Whom the incident is about; None while that is not known yet."""
    blocks: tuple[Block, ...] = ()
    """What blocks them."""
    callers: KeyCallers | Failure | None = None
    """Who calls the key now; None while that is not known yet, and without a key."""


def step_lines(
    view: model.IncidentView, step: model.StepView, now_known: StepNow, width: int, facts: ScreenFacts
) -> Iterator[Line]:
    now = facts.clock()
    yield from _head(view, step, now_known.check, width, now)
    if width < _LOW and view.incident.state is model.IncidentState.OPEN:
        yield from callers_in_short(now_known.callers, width, now)
    yield BLANK
    yield from prose(step.step.purpose, width)
    if step.step.do and not step.state.ended:
        yield BLANK
        providers = view.incident.scope.providers
        for text in step.step.lines_for(providers):
            yield from prose(filled(text, view.incident, facts), width, lead="• ", lead_style="$accent")
        if left_out := step.step.left_out(providers):
            others = f"Lines about others are left out, as no such token is in scope: {', '.join(left_out)}"
            yield from prose(Content.assemble((others, "$muted")), width)
        if commands := commands_of(step, view.incident, facts):
            which = "the command" if len(commands) == 1 else "one of the commands"
            yield line(("y", "bold $accent"), (f" copies {which}", "$muted"))
    yield from _decision(step, width)
    yield from _under_way(now_known, width, not_done(view.incident.name, step.step.id))
    yield from _waiting(now_known, width)
    yield from _trouble(view, step, now_known, width)
    yield from check_lines(
        step, now_known.check, width, now, looking=now_known.looking, trouble=now_known.check_trouble
    )
    yield from _evidence(view, step, width, now)
    if step.step.on_failure and not step.state.ended and _fails(view, step, now_known, now):
        yield BLANK
        words = filled(step.step.on_failure, view.incident, facts)
        yield from prose(Content.assemble("If it fails: ", words), width, lead="→ ", lead_style="$warning")
    if view.incident.state is model.IncidentState.OPEN:
        yield from caller_lines(now_known.callers, width, now)
    if now_known.suspects is not None:
        yield from suspect_lines(now_known.suspects, now_known.blocks, width, facts)
    yield BLANK
    yield from _next(view, step, width)


def _head(
    view: model.IncidentView, step: model.StepView, check: model.CheckResult | None, width: int, now: datetime
) -> Iterator[Line]:
    at = budget(view, step, now)
    right = Content.assemble((f"{at.sign.text} {at.words}".strip(), at.sign.style)) if at else Content("")
    title = Content.assemble((step.step.title, "bold"))
    if title.cell_length + right.cell_length + 2 <= width:
        yield Line(spread(title, right, width) if at else title)
    else:
        for part in title.wrap(width):
            yield Line(part)
        if at:
            yield Line(right)
    sign = step_sign(step, view.current)
    words: list[str] = [step.step.who] if step.step.who else []
    if step.by:
        words.append(person(step.by))
    if step.ended_at is not None:
        words.append(f"ended {local(step.ended_at, now):%H:%M:%S}")
    elif step.begun_at is not None:
        words.append(f"begun {local(step.begun_at, now):%H:%M:%S}")
    state = step.state.value
    if width < _LOW and (seen := check or step.check) is not None:
        # The check itself may be below what is in sight.
        words.insert(0, f"check {CHECKS[seen.state].text} {seen.state.value}")
    if step.state is model.StepState.TODO and view.current is not None and view.current.number == step.number:
        state = "now"
    if (decision := view.undecided(step)) is not None:
        state = f"waits for the decision of step {decision.number}"
    yield line(
        (f"{sign.text} {state}", sign.style if sign.text != "·" else "$muted"),
        (cut("".join(f" · {word}" for word in words), max(width - len(state) - 2, 8)), "$muted"),
    )
    if step.reason:
        yield from prose(f"reason: {step.reason}", width, style="$muted")


def _decision(step: model.StepView, width: int) -> Iterator[Line]:
    if not step.step.choices:
        return
    yield BLANK
    if step.answer:
        yield line((fit("answer", _NAME), "$muted"), (cut(step.answer, width - _NAME), "bold"))
        return
    for number, choice in enumerate(step.step.choices):
        name = "decide" if number == 0 else ""
        note = f"  {SAFE}" if choice == step.step.undecided else ""
        shown = cut(choice, max(width - _NAME - 2 - len(note), 8))
        yield line((fit(name, _NAME), "$muted"), "◦ ", shown, (note, "$muted"))


def _under_way(known: StepNow, width: int, unproved: str) -> Iterator[Line]:
    """What is running, or what came of it; what the check said then has been looked at again since."""
    run, outcome = known.run, known.outcome
    if run is not None:
        yield BLANK
        words = f"{run.words}: {run.part}…" if run.part else f"{run.words}…"
        yield line(("▶ ", "$accent"), (cut(words, width - 12), "bold"), ("  X stops", "$muted"))
        if run.total:
            yield Line(progress(run.done, run.total, width, "$accent"))
    elif outcome is not None and outcome.trouble is None and outcome.lines:
        yield BLANK
        lead, style = ("● ", "$success") if outcome.complete else ("▲ ", "$warning")
        lines = [x for x in outcome.lines if known.check is None or not x.startswith(unproved)]
        for text in lines[:_MOST_LINES]:
            yield from prose(text, width, lead=lead, lead_style=style)
            lead = "  "


def _waiting(known: StepNow, width: int) -> Iterator[Line]:
    if known.waiting:
        yield BLANK
        lead, style = ("● ", "$success") if known.approved else ("▲ ", "$warning")
        yield from prose(known.waiting, width, lead=lead, lead_style=style)


def _trouble(view: model.IncidentView, step: model.StepView, known: StepNow, width: int) -> Iterator[Line]:
    told: str = step.trouble
    trouble = known.outcome.trouble if known.outcome is not None else None
    if trouble is not None:
        # What the runbook says of a failure stands below, in the operator's own names.
        said_below = trouble.remedy == placeholders.filled(step.step.on_failure, view.incident.placeholders)
        told = trouble.message if said_below else str(trouble)
    elif known.outcome is not None and known.outcome.lines:
        # What came of the last call stands there already, line by line.
        return
    if told and known.run is None and not step.state.ended:
        yield BLANK
        yield from prose(told, width, lead="✖ ", lead_style="$error")


def _fails(view: model.IncidentView, step: model.StepView, known: StepNow, now: datetime) -> bool:
    """Whether waiting will not do: a call or the check failed, or the step is late."""
    seen = known.check or step.check
    failed = step.trouble or (known.outcome is not None and known.outcome.trouble is not None)
    at = budget(view, step, now)
    late = at is not None and at.sign == LATE
    return bool(failed) or late or (seen is not None and seen.state is model.CheckState.FAILED)


def _evidence(view: model.IncidentView, step: model.StepView, width: int, now: datetime) -> Iterator[Line]:
    own = [piece for piece in view.evidence if piece.step_id == step.step.id]
    kinds = {piece.kind for piece in own}
    missing = [kind.value for kind in step.step.captures if kind.value not in kinds]
    if not own and not missing:
        return
    yield BLANK
    yield from evidence_lines(own, width, now, name="evidence")
    if missing and not step.state.ended:
        words = f"to capture: {', '.join(missing).replace('-', ' ')}"
        for number, part in enumerate(Content(words).wrap(max(width - _NAME, 16))):
            name = "evidence" if not own and number == 0 else ""
            yield line((fit(name, _NAME), "$muted"), part.stylize("$muted"))


def evidence_lines(
    pieces: Iterable[EvidencePiece], width: int, now: datetime, *, name: str
) -> Iterator[Line]:
    for number, piece in enumerate(pieces):
        right = f"  sha256 {piece.sha256[:8]}…  {local(piece.captured_at, now):%H:%M}"
        room = max(width - _NAME - len(right), 8)
        yield line(
            (fit(name if number == 0 else "", _NAME), "$muted"), fit(piece.title, room), (right, "$muted")
        )


def _next(view: model.IncidentView, step: model.StepView, width: int) -> Iterator[Line]:
    if view.incident.state is model.IncidentState.CLOSED:
        yield from prose(f"closed: {view.incident.outcome}", width, style="$muted")
        return
    following = next((s for s in view.steps if s.number > step.number and not s.state.ended), None)
    if following is None:
        left = view.current
        words = (
            f"then: step {left.number}, {left.step.title}"
            if left is not None and left.number != step.number
            else "then: close the incident (x), and write its report (E)"
        )
        yield line((cut(words, width), "$muted"))
        return
    words = f"next: {following.number} {following.step.title}"
    condition = following.step.only_if
    if condition is not None:
        words += f", only after the answer {condition.answer}"
    yield line((cut(words, width), "$muted"))


_CALLERS = 6
_HEIGHTS = "▁▂▃▄▅▆▇█"
_UNKNOWN = "·"
"""A minute without a call of which not all events are fetched."""
_NARROW = 74
"""With less room a caller's sparkline has a line of its own."""


def callers_in_short(callers: KeyCallers | Failure | None, width: int, now: datetime) -> Iterator[Line]:
    """Yield the panel folded into one line, for where the rest is below what is in sight."""
    if isinstance(callers, Failure):
        yield line((cut("? who calls the key now is not known", width), "$warning"))
    elif callers is not None:
        suspects = sum(one.suspect and one.calls > 0 for one in callers.callers)
        until = callers.complete_until
        parts = [counted(callers.calls, "call")]
        parts += [f"denied {callers.denied_words}"] if callers.since is not None else []
        parts += [f"until {local(until, now):%H:%M}" if until is not None else "events not fetched"]
        sign = (f"✖ {counted(suspects, 'suspect')} · ", "bold $error") if suspects else ("", "")
        room = max(width - len(sign[0]), 8)
        yield line(sign, (cut(" · ".join(parts), room), "" if suspects or callers.calls else "$muted"))


def caller_lines(callers: KeyCallers | Failure | None, width: int, now: datetime) -> Iterator[Line]:
    """Yield who calls the key: suspects first, then those with most calls, each with its last minutes."""
    if callers is None:
        return
    yield BLANK
    if isinstance(callers, Failure):
        yield from prose(f"Who calls the key now is not known: {callers}", width, lead="? ", style="$warning")
        return
    head = f"calls of the key by minute, last {MINUTES} min, each to its own scale · {_until(callers, now)}"
    yield from prose(head, width, style="$muted")
    if not callers.callers:
        yield line((cut(_nobody(callers), width), "$muted"))
    names = max((len(one.name) for one in callers.callers[:_CALLERS]), default=0)
    for one in callers.callers[:_CALLERS]:
        yield from _caller(one, callers, names, width, now)
    more = len(callers.callers) - _CALLERS + callers.others
    if more > 0:
        yield line((cut(f"  and {more:,} more", width), "$muted"))
    if callers.since is not None:
        since = f"denied since {local(callers.since, now):%d %b %H:%M}: {callers.denied_words}"
        yield line((cut(since, width), "$muted"))
    for gap in callers.gaps[:1]:
        yield from prose(gap, width, lead="? ", lead_style="$warning", style="$muted")


def _nobody(callers: KeyCallers) -> str:
    """No call among what is fetched: no statement about what is not."""
    if not callers.known_minutes:
        return "no event of the key is fetched: keydeck events watch --key KEY"
    return "no call among the events that are fetched"


def _until(callers: KeyCallers, now: datetime) -> str:
    if callers.complete_until is None:
        return "not fetched"
    return f"fetched until {local(callers.complete_until, now):%H:%M} ({ago(callers.complete_until, now)})"


def _caller(one: KeyCaller, callers: KeyCallers, names: int, width: int, now: datetime) -> Iterator[Line]:
    style = "$error" if one.suspect else ""
    use = f"{one.calls:,} · last {ago(one.last, now)}"
    use += f" · denied {one.denied:,}" if one.denied else ""
    bars = sparkline(one.by_minute, callers.known_minutes)
    sign = ("▲ ", "$error") if one.suspect else "  "
    bold = f"bold {style}".strip()
    if width < _NARROW:
        yield line(sign, (cut(f"{one.name}  {use}", width - 2), bold))
        yield line("  ", (cut(bars, width - 2), style or "$accent"))
        return
    room = min(names, max(width - MINUTES - len(use) - 6, 8))
    yield line(sign, (fit(one.name, room), bold), (f"  {bars}", style or "$accent"), (f"  {use}", "$muted"))


def sparkline(by_minute: Sequence[int], known: int) -> str:
    """Return a bar for each minute; none is said to be without a call unless all of it is fetched."""
    most = max(by_minute, default=0)
    none = _HEIGHTS[0] * known + _UNKNOWN * (len(by_minute) - known)
    return "".join(
        _HEIGHTS[-(-calls * (len(_HEIGHTS) - 1) // most)] if calls else none[n]
        for n, calls in enumerate(by_minute)
    )


_SHOWN = 5


def suspect_lines(
    suspects: Suspects, blocks: Iterable[Block], width: int, facts: ScreenFacts
) -> Iterator[Line]:
    """Yield the suspects, those with most findings first: a line each, and below it blocks and why."""
    now, blocked = facts.clock(), tuple(blocks)
    if not suspects.found and not suspects.gaps:
        return
    yield BLANK
    number = len(suspects.found) + suspects.more
    yield line((cut(counted(number, "suspect") if number else "no suspect is known", width), "$muted"))
    for suspect in suspects.found[:_SHOWN]:
        use = f"  {counted(suspect.calls, 'call')}" if suspect.calls else "  no call yet"
        if suspect.last is not None:
            use += f", last {ago(suspect.last, now)}"
        name = cut(suspect.name, max(width - len(use) - 2, 8))
        yield line(("▲ ", "$error"), (name, "bold $error"), (use, "$muted"))
        for block in blocked:
            if block.refuses(suspect.arn):
                words = block_words(block, facts)
                yield from prose(words, width, lead=f"  {SIGN} ", lead_style="$success")
        more = len(suspect.why) - 1
        yield from prose(
            suspect.why[0] + (f" (and {more:,} more)" if more > 0 else ""), width, lead="  ", style="$muted"
        )
    if number > _SHOWN:
        yield line((cut(f"  and {number - _SHOWN:,} more", width), "$muted"))
    for gap in suspects.gaps[:1]:
        yield from prose(gap, width, lead="? ", lead_style="$warning", style="$muted")
