"""One incident: what do I do now? Its steps on the left, one of them large beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import Static

from crypto_core.guard.approvals import Approval, Decision
from crypto_core.incidents.model import CheckResult, IncidentState, IncidentView, StepState, StepView
from crypto_core.incidents.people import IncidentRole
from crypto_core.incidents.suspects import Suspects
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import shortened
from crypto_core.values.key_names import is_key_arn
from screens.actions.action import Action
from screens.answer_screen import AnswerScreen
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.identities import person
from screens.incidents.incident_actor import IncidentActor
from screens.incidents.next_action import hint
from screens.incidents.step_lines import StepNow, step_lines
from screens.incidents.step_runs import Waiting, runs_of
from screens.incidents.words import OPEN, elapsed, incident_sign, step_sign, subject, there, through
from screens.incidents.work import approval_gate
from screens.key_changes.block_actor import BlockActor
from screens.key_changes.block_lines import PageNames
from screens.main_screen import MainScreen
from screens.moments import ago, local
from screens.routes import Followed
from screens.signs import Sign
from screens.widgets.cells import cut, fit
from screens.widgets.line_list import Line, LineList, indented, line
from screens.widgets.notice import HintLine, NoticeBar
from screens.worker_calls import PendingCall, PolledCall, ask

ROOMY = 34
"""Cells from which on there is room for when and by whom."""
_WHEN = 12
_LEAD = 5
"""Sign and number before a title."""


@dataclass(frozen=True, slots=True)
class AtStep:
    """A step of the incident that is shown: what Enter is pressed on."""

    step: str


class StepList(LineList):
    """The steps. A page up or down is one of the step that is shown beside them."""

    def do_page_up(self) -> None:
        self._page_step(-1)

    def do_page_down(self) -> None:
        self._page_step(1)

    def _page_step(self, pages: int) -> None:
        turn: Callable[[int], None] | None = getattr(self.screen, "page_step", None)
        if turn is not None:
            turn(pages)

    def possible(self, action: Action) -> bool | None:
        """What Enter does depends on the step: the page says it."""
        if action.name == "open" and isinstance(self.screen, MainScreen):
            return True if self.current is not None else None
        return super().possible(action)


def phase_lines(view: IncidentView, width: int, now: datetime, running: frozenset[str]) -> Iterator[Line]:
    """Yield each phase with its steps; `running` are those for which this console does something now."""
    by_id = {step.step.id: step for step in view.steps}
    current = view.current
    for phase in view.runbook.phases:
        yield line((cut(phase.title, width), "$muted"))
        for step in phase.steps:
            found = by_id.get(step.id)
            if found is not None:
                sign = OPEN if step.id in running else step_sign(found, current)
                now_due = current is not None and current.number == found.number
                waits = view.undecided(found) is not None
                title, *more = _step(found, sign, width, now, now_due=now_due, waits=waits)
                yield Line(title, AtStep(step.id))
                yield from map(Line, more)


def _step(
    step: StepView, sign: Sign, width: int, now: datetime, *, now_due: bool, waits: bool
) -> Iterator[Content]:
    end = ""
    if width >= ROOMY:
        end = fit("undecided", _WHEN, right=True) if waits else _end(step, now)
    room = max(width - _LEAD - (len(end) + 1 if end else 0), 6)
    style = "bold" if now_due else "$muted" if step.state.ended or step.state is StepState.TODO else ""
    first, *more = Content(step.step.title).wrap(room)
    yield Content.assemble(
        sign,
        (f" {step.number:>2} ", "$muted"),
        (fit(first.plain, room), style),
        (f" {end}" if end else "", "$muted"),
    )
    for part in more:
        yield Content.assemble(" " * _LEAD, (fit(part.plain, room), style))


def _end(step: StepView, now: datetime) -> str:
    """When it ended and by whom, or the word for how."""
    if step.state in (StepState.SKIPPED, StepState.NOT_NEEDED):
        return fit(step.state.value, _WHEN, right=True)
    if step.ended_at is None:
        return fit("begun", _WHEN, right=True) if step.state is StepState.BEGUN else ""
    who = shortened(person(step.by), 60) if step.by else ""
    return fit(f"{local(step.ended_at, now):%H:%M} {who}".strip(), _WHEN, right=True)


LOOK_SECONDS = 8.0
"""How often what proves the step's effect is looked at: it may ask AWS and count tokens."""
MOST_REST_SECONDS = 20.0
"""How long what takes its time to be looked at is left alone, unless it takes longer than half of that."""
MOST_TOOK = 0.2
"""What takes longer is not asked for less often: an incident is worked on by several."""
CALLERS_SECONDS = 5.0
"""How often callers of the key are asked for at most."""
SUSPECTS_SECONDS = 20.0
"""How often suspects are asked for at most: while no event comes, the answer is known."""
JOIN_SECONDS = 5.0
"""How often this operator's presence is reported."""
APPROVALS_SECONDS = 3.0


class IncidentScreen(IncidentActor, BlockActor, AnswerScreen[IncidentView]):
    """Where the incident stands is in the database: asked for every second, nothing of it is kept here."""

    CSS_PATH = "screen.tcss"
    NAME = "incident"
    EVERY = 0.5
    ACTS: ClassVar[tuple[str, ...]] = ("incident", "blocking")
    ASKING = "Asking where the incident stands…"

    def __init__(self, facts: ScreenFacts, incident: int) -> None:
        super().__init__(facts)
        self.incident = incident
        self._seen: dict[str, CheckResult] = {}
        """The last result of each step's check."""
        self._check_troubles: dict[str, str] = {}
        self._look: PendingCall[CheckResult] | None = None
        self._looked: dict[str, datetime] = {}
        self._look_took = 0.0
        self._looking = ""
        clock, paint = facts.clock, self._paint
        self._join = PolledCall(
            self,
            clock,
            JOIN_SECONDS,
            lambda _: facts.services.incidents.join(incident),
            self.show_facts,
            group="join",
            factor=1,
        )
        self._requests = PolledCall(
            self,
            clock,
            APPROVALS_SECONDS,
            lambda _: approval_gate(facts).requests(pending=False),
            paint,
            group="approvals",
            factor=1,
        )
        self._suspects = PolledCall(
            self,
            clock,
            SUSPECTS_SECONDS,
            lambda cancelled: facts.services.incidents.suspects(incident, cancelled=cancelled),
            paint,
            group="suspects",
        )
        self._callers = PolledCall(
            self,
            clock,
            CALLERS_SECONDS,
            lambda cancelled: facts.services.incidents.callers(incident, cancelled=cancelled),
            paint,
            group="callers",
        )

    def body(self) -> Iterable[Widget]:
        yield NoticeBar()
        with Horizontal(id="page"):
            yield StepList()
            yield StepPane()
        yield HintLine()

    @property
    def crumb(self) -> tuple[str, str]:
        if self.answer is None:
            return "Incident", f"INC-{self.incident}"
        incident = self.answer.incident
        about = subject(incident.scope, self.facts)
        # The title that nobody has given ends with the subject.
        return incident.name, incident.title if about in incident.title else f"{incident.title} · {about}"

    @property
    def view(self) -> IncidentView | None:
        return self.answer

    @property
    def named(self) -> PageNames | None:
        known = self._known_suspects
        if self.answer is None or known is None or not known.found:
            return None
        key = self.answer.incident.scope.key
        return PageNames(known.arns, (key,) if is_key_arn(key) else ())

    @property
    def _known_suspects(self) -> Suspects | None:
        known = self._suspects.known
        return Suspects(gaps=(str(known),)) if isinstance(known, Failure) else known

    @property
    def step_in_hand(self) -> StepView | None:
        target = self.target_in_hand
        if self.answer is None or not isinstance(target, AtStep):
            return None
        return self.answer.step(target.step)

    @property
    def took(self) -> float:
        """Seconds that the last answer took; the page is asked for every few seconds however long that is."""
        return min(super().took, MOST_TOOK)

    def ask_for(self, cancelled: Cancellation) -> IncidentView:
        return self.facts.services.incidents.show(self.incident)

    def lines(self, answer: IncidentView, width: int) -> Iterable[Line]:
        running = frozenset(step for number, step in runs_of(self.facts).running if number == self.incident)
        return phase_lines(answer, width, self.facts.clock(), running)

    def _keep(self, answer: IncidentView | Failure) -> None:
        before, selected = self.answer, self.step_in_hand
        was = before.current if before is not None else None
        super()._keep(answer)
        if not self.is_mounted or isinstance(answer, Failure):
            return
        for step in answer.steps:
            if step.state.ended:
                self._seen.pop(step.step.id, None)
                self._check_troubles.pop(step.step.id, None)
        now = answer.current
        at_current = selected is None or (was is not None and selected.step.id == was.step.id)
        if now is not None and at_current and (was is None or was.step.id != now.step.id):
            self.go_to_step(now.step.id)
        self._look_if_due()

    def proved(self, step: StepView) -> bool:
        seen = self._seen.get(step.step.id)
        return seen is not None and seen.passed

    def seen_of(self, step: StepView) -> CheckResult | None:
        return self._seen.get(step.step.id) or step.check

    def go_to_step(self, step_id: str) -> None:
        steps = self.query_one(StepList)
        for index, written in enumerate(steps.written):
            if written.target == AtStep(step_id):
                steps.move_to(index)
                return

    # What is shown

    def show_facts(self) -> None:
        self.query_one(NoticeBar).tell(self.trouble or self._join.known)
        self.query_one(StepList).write(self._lines)
        self._paint()

    def cursor_moved(self) -> None:
        self._paint()

    def _paint(self) -> None:
        if not self.is_mounted or not self.query(StepPane):
            return
        view, step = self.answer, self.step_in_hand
        self._say_elapsed()
        if view is None or step is None:
            words = "No answer: r asks again." if self.trouble else self.ASKING
            self.query_one(StepPane).write(lambda _: [Line(Content.assemble((words, "$muted")))], None)
            return
        now_known = self._now_known(step)
        self.query_one(StepPane).write(
            lambda width: step_lines(view, step, now_known, width, self.facts), step.step.id
        )
        run = now_known.run is not None
        self.query_one(HintLine).say(
            hint(
                view,
                step,
                running=run,
                failed=self.failed(step),
                proved=self.proved(step),
                read_only=self.facts.read_only,
            )
        )
        self.refresh_hints(view.incident.state, step.step.id, step.state, run, view.current is None)

    def _lines(self, size: Size) -> Sequence[Line]:
        if self.answer is None:
            return []
        return indented(self.lines(self.answer, size.width - 2))

    def _now_known(self, step: StepView) -> StepNow:
        key = (self.incident, step.step.id)
        runs = runs_of(self.facts)
        waiting = runs.waiting.get(key)
        words, approved = request_words(waiting, self._requests.good or (), self.facts.clock())
        return StepNow(
            check=self._seen.get(step.step.id),
            looking=self._looking == step.step.id,
            check_trouble=self._check_troubles.get(step.step.id, ""),
            run=runs.running.get(key),
            outcome=runs.outcomes.get(key),
            waiting=words,
            approved=approved,
            suspects=self._known_suspects,
            blocks=self.blocks_seen,
            callers=self._callers.known,
        )

    def _say_elapsed(self) -> None:
        view, now = self.answer, self.facts.clock()
        if view is None:
            self.show_path()
            return
        sign = incident_sign(view, now)
        parts: list[str | tuple[str, str]] = [
            (f"{sign.text} {view.incident.state.value} {elapsed(view.incident, now)}", sign.style)
        ]
        if view.incident.state is IncidentState.OPEN:
            people = there(view.present, now)
            lead = view.people.who(IncidentRole.LEAD)
            steps = f"step {through(view)}" if view.current is not None else f"{through(view)} steps ended"
            parts += [
                f"   lead {person(lead)}" if lead else "",
                f"   {people}" if people else "",
                (f"   {steps}", "$muted"),
            ]
        self.show_path(Content.assemble(*parts))

    def page_step(self, pages: int) -> None:
        self.query_one(StepPane).page(pages)

    # What goes on by itself

    def _tick(self) -> None:
        super()._tick()
        if not self.is_current or not self.is_mounted:
            return
        self._paint()
        if self.refreshing.paused:
            return
        self._look_if_due()
        if self.answer is not None:
            if self.answer.incident.state is IncidentState.OPEN and not self.facts.read_only:
                self._join.ask_if_due()
            self._suspects.ask_if_due()
            if self.answer.incident.scope.key:
                self._callers.ask_if_due()
        if runs_of(self.facts).waiting and self.facts.services.approvals is not None:
            self._requests.ask_if_due()

    def look_soon(self) -> None:
        self._looked.clear()
        self.ask_anew()

    def _look_if_due(self) -> None:
        """Look at what proves the step under the cursor, or, where that has ended, the one to do now."""
        view, step, now = self.answer, self.step_in_hand, self.facts.clock()
        if view is None or view.incident.state is IncidentState.CLOSED or self.facts.read_only:
            return
        if step is None or step.state.ended:
            step = view.current
        if step is None or step.step.check is None or not self.is_current:
            return
        last = self._looked.get(step.step.id)
        took = self._look_took
        rest = max(LOOK_SECONDS, min(took * 20, MOST_REST_SECONDS), took * 2)
        if last is None or (now - last).total_seconds() >= rest:
            self.look_now(step.step.id)

    def look_now(self, step_id: str) -> None:
        if self._look is not None and self._look.waiting:
            return
        if (self.incident, step_id) in runs_of(self.facts).running:
            return
        began = self.facts.clock()
        self._looked[step_id] = began
        self._looking = step_id
        work = self.facts.services.incidents
        self._look = ask(
            self,
            lambda cancelled: work.look_at_check(self.incident, step_id, cancelled=cancelled),
            lambda answer: self._keep_look(step_id, began, answer),
            group="look",
        )
        self._paint()

    def _keep_look(self, step_id: str, began: datetime, answer: CheckResult | Failure) -> None:
        self._looking = ""
        now = self.facts.clock()
        self._looked[step_id], self._look_took = now, (now - began).total_seconds()
        if isinstance(answer, Failure):
            self._check_troubles[step_id] = str(answer)
        else:
            self._check_troubles.pop(step_id, None)
            self._seen[step_id] = answer
        self._paint()

    def on_unmount(self) -> None:
        """Drop pending checks; a step's running action continues."""
        self.stop_asking()
        if self._look is not None:
            self._look.drop()
        for polled in (self._join, self._requests, self._suspects, self._callers):
            polled.drop()

    @on(Followed)
    def next_thing(self, event: Followed) -> None:
        if isinstance(event.target, AtStep):
            event.stop()
            self.call_later(self.do_next)


def request_words(waiting: Waiting | None, known: Sequence[Approval], now: datetime) -> tuple[str, bool]:
    """Return a sentence about a request, "" for none, and whether it was approved."""
    if waiting is None:
        return "", False
    request = next((one for one in known if str(one.id) == waiting.request), None)
    if request is None:
        return f"Waits for a second identity. {waiting.message} {waiting.remedy}".strip(), False
    match request.decision:
        case Decision.APPROVED:
            if request.problem:
                return f"The approval is refused. {request.problem}", False
            by = f"Approved by {person(request.decided_by)}. {request.cloudtrail}".strip()
            if not request.confirmed:
                return f"{by} CloudTrail is asked again by itself.", False
            return f"{by} Enter: plan it again and run it.", True
        case Decision.DENIED:
            return f"Denied by {person(request.decided_by)}. It was not done.", False
        case Decision.EXPIRED:
            return "The request expired before anyone approved it. Press Enter to ask again.", False
        case Decision.USED:
            return "", False
        case Decision.CHANGED:
            return f"The request is refused. {request.problem}", False
        case Decision.PENDING:
            ends = ago(request.expires_at, now)
            return f"Waits for a second identity; the request ends {ends}. {waiting.remedy}".strip(), False


class StepPane(VerticalScroll, can_focus=False):
    """Lines that are written anew for each width, painted only where they are others than before."""

    DEFAULT_CSS = """
    StepPane { padding: 0 1; scrollbar-size-vertical: 1; overflow-x: hidden; }
    StepPane > Static { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._write: Callable[[int], Iterable[Line]] = lambda _width: ()
        self._about: object = None
        self._shown: object = None

    def compose(self) -> ComposeResult:
        yield Static(id="step")

    def write(self, lines: Callable[[int], Iterable[Line]], about: object) -> None:
        """Show what `lines` returns for this width; from its beginning where it is `about` something else."""
        self._write = lines
        width = self.size.width - 3
        if width <= 0:
            return
        content = Content("\n").join([line.content for line in lines(width)])
        seen = (content.plain, content.spans)
        if seen != self._shown:
            self._shown = seen
            self.query_one("#step", Static).update(content)
        if about != self._about:
            self._about = about
            self.scroll_home(animate=False)

    def on_resize(self, event: Resize) -> None:
        if event.size:
            self.write(self._write, self._about)

    def page(self, pages: int) -> None:
        self.scroll_relative(y=pages * max(self.size.height - 1, 1), animate=False)
