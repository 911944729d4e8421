"""What can be done to an incident and to the step under the cursor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from textual import work

from crypto_core.database.state.incident_records import EvidencePiece
from crypto_core.incidents.model import CheckResult, IncidentState, IncidentView, StepState, StepView
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import shortened
from crypto_core.values.counts import counted
from crypto_core.values.errors import ApprovalNeededError
from crypto_core.values.secret import Secret
from screens.actions.action import Action
from screens.actions.performer import Host, perform
from screens.actions.registry import BY_ID
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.incidents.next_action import next_thing
from screens.incidents.step_runs import CallResult, RunningCall, Runs, StepKey, Waiting, runs_of
from screens.incidents.words import commands_of
from screens.main_screen import MainScreen
from screens.routes import ApprovalsRoute, EntriesRoute, EvidenceListRoute, Followed, PeopleRoute
from screens.widgets.clipboard import cell_as_text, send_to_clipboard
from screens.worker_calls import ask

if TYPE_CHECKING:
    from crypto_core.incidents.service import IncidentService
    from crypto_core.incidents.steps.step_contracts import ActionResult
    from screens.incidents.step_dialog import Agreed

_DAY = 86_400.0
Answer = TypeVar("Answer")


class IncidentActor(MainScreen):
    """A screen that has an incident and one of its steps in hand."""

    ACTS: ClassVar[tuple[str, ...]] = ("incident",)
    incident: int

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__(facts)
        self._unkept: dict[str, str] = {}
        """By the dialog's title, the typed text until it is stored: it never has to be typed twice."""

    @property
    def view(self) -> IncidentView | None:
        raise NotImplementedError

    @property
    def step_in_hand(self) -> StepView | None:
        raise NotImplementedError

    def go_to_step(self, step_id: str) -> None:
        raise NotImplementedError

    def look_now(self, step_id: str) -> None:
        raise NotImplementedError

    def look_soon(self) -> None:
        raise NotImplementedError

    def possible(self, action: Action) -> bool | None:
        """Grey out what the incident's or the step's state has no use for."""
        possible = super().possible(action)
        if possible and action.scope == "incident":
            view, step = self.view, self.step_in_hand
            if view is None or (step is None and action.name not in _OF_INCIDENT):
                return None
            if action.name == "check-lines":
                return possible if step is not None and self.seen_of(step) is not None else None
            if action.name == "copy-command":
                return possible if step is not None and commands_of(step, view.incident, self.facts) else None
            if action.name == "accept-lost" and not (step is not None and self._lost(step)):
                return None
            if not _fits(action.name, view, step, self._run_of(step) is not None):
                return None
        return possible

    def proved(self, step: StepView) -> bool:
        raise NotImplementedError

    def seen_of(self, step: StepView) -> CheckResult | None:
        raise NotImplementedError

    def _lost(self, step: StepView) -> int:
        """How many tokens stand in the way of a step that open for nobody, as its check saw last."""
        seen = self.seen_of(step)
        return seen.lost if seen is not None and not step.state.ended else 0

    def failed(self, step: StepView) -> bool:
        """Return whether the last call for a step did not do all of it, or waits for approval."""
        runs, key = runs_of(self.facts), (self.incident, step.step.id)
        outcome = runs.outcomes.get(key)
        return key in runs.waiting or (outcome is not None and not outcome.complete)

    def _run_of(self, step: StepView | None) -> RunningCall | None:
        return runs_of(self.facts).running.get((self.incident, step.step.id)) if step is not None else None

    # Enter

    async def do_next(self) -> None:
        view, step = self.view, self.step_in_hand
        if view is None or step is None:
            return
        if self._run_of(step) is not None:
            self.say("That is running. X stops it.")
            return
        thing = next_thing(view, step, failed=self.failed(step), proved=self.proved(step))
        if thing == "incident.go":
            if view.current is not None:
                self.go_to_step(view.current.step.id)
        elif thing == "incident.decision":
            decision = view.undecided(step)
            if decision is not None:
                self.go_to_step(decision.step.id)
        elif thing == "incident.act":
            if self.facts.read_only:
                self.say(f"Read-only: {BY_ID[thing].title} is refused.", trouble=True)
            else:
                self._act(everything=False)
        else:
            await perform(self, BY_ID[thing])

    # The step

    def do_act(self) -> None:
        """Run the step's action, with all of its inputs asked for."""
        self._act(everything=True)

    @work(exclusive=True, group="write")
    async def _act(self, *, everything: bool) -> None:
        from screens.incidents.step_dialog import StepDialog

        step = self.step_in_hand
        if step is None:
            return
        dialog = StepDialog(self.facts, self.incident, step, everything=everything)
        agreed = await self.app.push_screen_wait(dialog)
        if agreed is not None:
            self._carry_out(step, agreed)

    def _carry_out(self, step: StepView, agreed: Agreed) -> None:
        service, incident, id_ = self.facts.services.incidents, self.incident, step.step.id
        plan, consent, inputs = agreed.plan, agreed.consent, agreed.inputs

        def call(run: RunningCall, cancelled: Cancellation) -> ActionResult | Waiting:
            try:
                return waiting_or(
                    lambda: service.run_action(
                        incident, id_, plan, consent, inputs, progress=run.progress, cancelled=cancelled
                    )
                )
            finally:
                wipe(inputs)

        self._begin(step, plan.title, call)

    @work(exclusive=True, group="write")
    async def do_answer(self) -> None:
        from screens.incidents.choices import ChooseAnswer

        step = self.step_in_hand
        if step is None:
            return
        choice = await self.app.push_screen_wait(ChooseAnswer(step))
        if choice is not None:
            answer = choice
            self._do(step, "Noting the answer", lambda work, id_, _: work.answer(self.incident, id_, answer))

    def do_finish(self) -> None:
        """Capture, look, and end the step if its check passes."""
        self._capture_and("Capturing evidence and running the check", self.facts.services.incidents.finish)

    def do_check(self) -> None:
        step = self.step_in_hand
        if step is not None:
            self.look_now(step.step.id)

    def do_check_lines(self) -> None:
        from screens.incidents.step_lines import check_details

        step = self.step_in_hand
        if step is not None and (seen := self.seen_of(step)) is not None:
            self.app.push_screen(check_details(step, seen))

    def do_capture(self) -> None:
        self._capture_and("Capturing evidence", self.facts.services.incidents.capture)

    def _capture_and(self, words: str, call: Callable[..., Any]) -> None:
        step, incident = self.step_in_hand, self.incident
        if step is not None:
            id_ = step.step.id
            self._begin(
                step,
                words,
                lambda run, cancelled: call(incident, id_, capturing=run.capturing, cancelled=cancelled),
            )

    def do_skip(self, reason: str) -> None:
        about = "The step ends without being done and without its check. Why? The report will say so."
        self._with_reason("Skip", about, reason, lambda work, step, why: work.skip(self.incident, step, why))

    def do_reopen(self, reason: str) -> None:
        about = "Why does the step have to be done again? The report will show the reason."
        self._with_reason(
            "Reopen", about, reason, lambda work, step, why: work.reopen(self.incident, step, why)
        )

    @work(exclusive=True, group="write")
    async def _with_reason(
        self, verb: str, about: str, reason: str, do: Callable[[IncidentService, str, str], StepView]
    ) -> None:
        step = self.step_in_hand
        if step is None:
            return
        title = f"{verb} step {step.number}: {step.step.title}"
        why = reason or await self._asked_text(title, about, verb)
        if why:
            text = why
            self._do(
                step,
                f"{verb}: {shortened(text, 80)}",
                lambda work, id_, _: self._kept(title, lambda: do(work, id_, text)),
            )

    @work(exclusive=True, group="write")
    async def do_accept_lost(self, reason: str) -> None:
        from screens.incidents.step_dialog import LossDialog

        step, title = self.step_in_hand, "Accept as unrecoverable"
        if step is None:
            return
        about = (
            f"{counted(self._lost(step), 'token')} can't be opened by anybody. Why are they given up? You "
            "see which they are before anything is kept; the report will show the reason."
        )
        why = reason or await self._asked_text(title, about, "Preview")
        if not why:
            return
        agreed = await self.app.push_screen_wait(LossDialog(self.facts, self.incident, why))
        if agreed is not None:
            service, incident = self.facts.services.incidents, self.incident
            self._begin(
                step,
                agreed.plan.title,
                lambda _, cancelled: waiting_or(
                    lambda: self._kept(
                        title,
                        lambda: service.accept_lost(
                            incident, agreed.plan, agreed.consent, cancelled=cancelled
                        ),
                    )
                ),
            )

    @work(exclusive=True, group="write")
    async def do_note(self, text: str) -> None:
        step = self.step_in_hand
        id_ = step.step.id if step is not None else ""
        about = (
            "Kept in the timeline and the report, with your identity and the time. Never write a token here."
        )
        note = text or await self._asked_text("Note", about, "Keep")
        if note:
            self._keep_text(
                "Note", lambda work: work.note(self.incident, note, id_), "Noted in the timeline."
            )

    @work(exclusive=True, group="write")
    async def do_close(self, outcome: str) -> None:
        about = "How did it end? One sentence, for the report. Refused while steps remain."
        proposed = closing_words(self.view) if self.view is not None else ""
        title = "Close the incident"
        words = outcome or await self._asked_text(title, about, "Close it", proposed)
        if words:
            self._keep_text(
                title, lambda work: work.close(self.incident, words), "Closed. E writes the report."
            )

    def _keep_text(self, title: str, keep: Callable[[IncidentService], object], words: str) -> None:
        """Store the text typed for `title`, and confirm it."""
        service = self.facts.services.incidents
        ask(
            self.app,
            lambda _: self._kept(title, lambda: keep(service)),
            lambda answer: self._said(answer, words),
            group="incident",
        )

    async def _asked_text(self, title: str, about: str, label: str, proposed: str = "") -> str:
        from screens.widgets.question import AskText

        unkept = self._unkept.get(title, "")
        text = await self.app.push_screen_wait(AskText(title, about, unkept or proposed, label=label)) or ""
        if text:
            self._unkept[title] = text
        return text

    def _kept(self, title: str, call: Callable[[], Answer]) -> Answer:
        answer = call()
        self._unkept.pop(title, None)
        return answer

    def _said(self, answer: object, words: str) -> None:
        self.say_outcome(answer, lambda _: words)
        if self.is_attached:
            self.look_soon()

    def do_stop(self) -> None:
        run = self._run_of(self.step_in_hand)
        if run is not None and run.asked is not None:
            run.asked.cancellation.set()
            self.say("Stopping. What is already done stays done.")

    @work(exclusive=True, group="write")
    async def do_copy_command(self) -> None:
        """Send the step's command to the clipboard; of several the one that is chosen."""
        from screens.incidents.choices import ChooseCommandToCopy

        view, step = self.view, self.step_in_hand
        if view is None or step is None:
            return
        commands = commands_of(step, view.incident, self.facts)
        chosen: str | None = commands[0]
        if len(commands) > 1:
            chosen = await self.app.push_screen_wait(ChooseCommandToCopy(commands))
        if chosen is not None:
            send_to_clipboard(self, cell_as_text(chosen), chosen)

    # Elsewhere

    def do_evidence(self) -> None:
        self.post_message(Followed(EvidenceListRoute(self.incident)))

    def do_timeline(self) -> None:
        self.post_message(Followed(EntriesRoute(self.incident)))

    def do_people(self) -> None:
        self.post_message(Followed(PeopleRoute(self.incident)))

    def do_approvals(self) -> None:
        self.post_message(Followed(ApprovalsRoute()))

    def do_report(self, path: str) -> None:
        from screens.incidents.report_dialog import ReportDialog

        if self.view is not None:
            self.app.push_screen(ReportDialog(self.facts, self.view.incident, path))

    # Calls that go on whichever screen is in sight

    def _do(
        self, step: StepView | None, words: str, call: Callable[[IncidentService, str, Cancellation], Any]
    ) -> None:
        if step is not None:
            service, id_ = self.facts.services.incidents, step.step.id
            self._begin(step, words, lambda _, cancelled: call(service, id_, cancelled))

    def _begin(self, step: StepView, words: str, call: Callable[[RunningCall, Cancellation], Any]) -> None:
        runs, key = runs_of(self.facts), (self.incident, step.step.id)
        if key in runs.running:
            self.say("That is running. X stops it.")
            return
        run = RunningCall(words, self.facts.clock())
        runs.begin(key, run)
        app, number = self.app, step.number
        run.asked = ask(
            app,
            lambda cancelled: call(run, cancelled),
            lambda answer: self._ended(runs, cast(Host, app), key, number, answer),
            group="incident",
            limit=_DAY,
        )
        self.show_facts()

    def _ended(self, runs: Runs, host: Host, key: StepKey, number: int, answer: Any) -> None:
        """Keep what came of a call, and say it where the operator is by now."""
        if not isinstance(answer, Failure | Waiting):
            runs.waiting.pop(key, None)
        outcome = outcome_of(answer)
        runs.end(key, outcome)
        self.facts.ask_blocks()
        if isinstance(answer, Waiting):
            runs.waiting[key] = answer
            self._show_waiting(answer)
        if self.is_attached:
            self.look_soon()
            self.show_facts()
        if not (self.is_attached and self.is_current):
            words = str(outcome.trouble) if outcome.trouble else " ".join(outcome.lines[:1]) or "done"
            host.tell(f"INC-{key[0]}, step {number}: {words}", trouble=outcome.trouble is not None)

    @work(exclusive=True, group="write")
    async def _show_waiting(self, waiting: Waiting) -> None:
        from screens.incidents.approvals_screen import ApprovalNeeded

        if self.is_attached and self.is_current:
            await self.app.push_screen_wait(ApprovalNeeded(waiting))


_OF_INCIDENT = ("note", "evidence", "timeline", "people", "approvals", "report", "close")


def _fits(name: str, view: IncidentView, step: StepView | None, running: bool) -> bool:
    open_ = view.incident.state is IncidentState.OPEN
    match name:
        case "evidence" | "timeline" | "people" | "approvals" | "report" | "check":
            return name != "check" or (step is not None and step.step.check is not None)
        case "stop":
            return running
        case "note":
            return True
        case "close":
            return open_
        case _:
            pass
    if step is None or not open_ or running:
        return False
    match name:
        case "act":
            return step.step.action is not None and not step.state.ended and view.undecided(step) is None
        case "answer":
            decidable = not step.state.ended or step.state is StepState.SKIPPED
            return bool(step.step.choices) and decidable
        case "finish":
            return not step.state.ended and view.undecided(step) is None
        case "capture":
            return bool(step.step.captures)
        case "reopen":
            return step.state in (StepState.DONE, StepState.SKIPPED)
        case _:
            return not step.state.ended


def closing_words(view: IncidentView) -> str:
    """Return a suggested outcome for an incident, "" while steps remain."""
    if view.current is not None:
        return ""
    states = [step.state for step in view.steps]
    done, skipped = states.count(StepState.DONE), states.count(StepState.SKIPPED)
    left_out = f", {skipped:,} skipped" if skipped else ""
    left_out += f", {len(view.left_undecided):,} left undecided" if view.left_undecided else ""
    return f"Worked through: {counted(done, 'step')} done{left_out}."


def waiting_or(call: Callable[[], ActionResult]) -> ActionResult | Waiting:
    try:
        return call()
    except ApprovalNeededError as error:
        return Waiting(error.request, error.message, error.remedy)


def outcome_of(answer: Any) -> CallResult:
    from crypto_core.incidents.steps.step_contracts import ActionResult

    match answer:
        case Failure():
            return CallResult(complete=False, trouble=answer)
        case Waiting():
            return CallResult(complete=False)
        case ActionResult(complete=complete, lines=lines):
            return CallResult(lines, complete)
        case tuple():
            pieces = [piece for piece in answer if isinstance(piece, EvidencePiece)]
            return CallResult(tuple(f"captured: {piece.title}" for piece in pieces))
        case _:
            return CallResult()


def wipe(inputs: Mapping[str, str | Secret]) -> None:
    for value in inputs.values():
        if isinstance(value, Secret):
            value.wipe()
