"""The way to a new job: which tokens, which verb, under which key, the plan, then the job's page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Generic

from textual import on
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from crypto_core.guard.consent import Consent
from crypto_core.reencryption.jobs.model import JobOptions, JobPlan
from crypto_core.reencryption.jobs.undo import RestorePlan
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from screens.blocking_calls import Failure, attempt
from screens.facts import ScreenFacts
from screens.jobs.choose_tokens import ChooseTokens, Chosen
from screens.key_words import KeyWords
from screens.main_screen import MainScreen
from screens.plan_words import ABOUT, loss_lines, plan_lines, takes_words
from screens.reencryption import ChooseKey
from screens.routes import Followed, JobRoute
from screens.services import JobProcesses
from screens.styled_text import BLANK
from screens.widgets.cells import cut, fit, fit_middle, painted
from screens.widgets.choice_dialog import ChoiceDialog
from screens.widgets.line_input import LineInput
from screens.widgets.line_list import Line, line
from screens.widgets.notice import trouble_content
from screens.widgets.plan_dialog import LOOKING, Plan, PlanDialog
from screens.worker_calls import ask


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that has begun; `trouble` is why nothing here works on it, "" where something does."""

    job: int
    trouble: str = ""


class Proposal(PlanDialog[Plan, Begun], Generic[Plan]):
    """Returns the started job, None without one or if the operator left: then the list of jobs shows it."""

    BODY = 42
    LOOKING: ClassVar[str] = f"{LOOKING} Esc stops that."
    LIMIT_SECONDS: ClassVar[float] = 3_600.0
    """A plan over many tokens takes its time; the operator can leave it at any moment."""

    def start(self, plan: Plan, consent: Consent) -> Begun:
        """Begin the job; called in a worker. Raises what the service raises."""
        raise NotImplementedError

    def go_on(self, plan: Plan, consent: Consent) -> None:
        self.under_way(
            f"{self._title}: starting",
            "Counting all tokens before the change, and creating the job… If you leave, find it in the list.",
        )
        self._asked = ask(self, lambda _: self.start(plan, consent), self._end, group="begin", limit=600)

    def _end(self, answer: Begun | Failure) -> None:
        if isinstance(answer, Begun):
            self.dismiss(answer)
            return
        self.tell(f"{self._title}: not started", trouble_content(answer), leave="Close")


def worked_on(processes: JobProcesses, job: int, number: int, *, trust: Iterable[str] = ()) -> Begun:
    """Let processes of this console work on a job that has been made; it is there whether they do or not."""
    found = attempt(lambda: processes.work_on(job, number, trust=tuple(trust)))
    return Begun(job, str(found) if isinstance(found, Failure) else "")


_VERB_PURPOSES: dict[Verb, str] = {
    Verb.REENCRYPT: "new data keys: also after a compromise",
    Verb.REWRAP: "the same data keys: to move without an incident",
}
_VERB_CELLS = 14
_WARNING = ("▲ ", "$warning")
MOST_PROCESSES = 64


async def begin_job(screen: MainScreen, chosen: Chosen | None = None, verb: Verb | None = None) -> bool:
    """In a worker: ask what is unknown, begin a job and go to its page; returns whether one has begun."""
    app, facts = screen.app, screen.facts
    chosen = chosen or await app.push_screen_wait(ChooseTokens(facts))
    if chosen is None:
        return False
    selection = chosen.selection
    verb = (
        Verb.ENCRYPT
        if selection.unprotected
        else verb or await app.push_screen_wait(ChooseVerb(chosen.words))
    )
    if verb is None:
        return False
    source = selection.under_key or ""
    choice = ChooseKey(facts, verb, chosen.tokens, what=chosen.words, without=source)
    key = await app.push_screen_wait(choice)
    if key is None:
        return False
    begun = await app.push_screen_wait(JobPreview(facts, verb, selection, key.key_arn))
    go_to_job(screen, begun)
    return begun is not None


async def begin_restore(screen: MainScreen, job: int) -> None:
    """Ask, begin the job that undoes another, and go to its page. Called in a worker of the screen."""
    go_to_job(screen, await screen.app.push_screen_wait(RestoreDialog(screen.facts, job)))


def go_to_job(screen: MainScreen, begun: Begun | None) -> None:
    """Show a job that has begun, and say what keeps this console from working on it."""
    if begun is None:
        return
    if begun.trouble:
        screen.say(f"Job {begun.job} has been made. {begun.trouble}", trouble=True)
    else:
        screen.say(
            f"Job {begun.job} has started. From another terminal or host: keydeck jobs join {begun.job}"
        )
    screen.post_message(Followed(JobRoute(begun.job)))


class ChooseVerb(ChoiceDialog[Verb]):
    """Returns the verb, None if the operator went back. Says what rewrap does not do."""

    def __init__(self, what: str) -> None:
        below = Content.assemble("\n", ABOUT[Verb.REENCRYPT], "\n", ("▲ ", "$warning"), ABOUT[Verb.REWRAP])
        super().__init__(cut(f"New job: {what}", 70), below=below)

    def on_mount(self) -> None:
        """The way to recover is under the cursor."""
        self.offer(tuple(_VERB_PURPOSES), _line)


def _line(verb: Verb, width: int) -> Line:
    words = fit(_VERB_PURPOSES[verb], max(width - _VERB_CELLS - 2, 8))
    return line(" ", (fit(verb.words, _VERB_CELLS), "bold"), words, target=verb)


class RestoreDialog(Proposal[RestorePlan]):
    """A restore is a job itself; one process of this console works on it."""

    def __init__(self, facts: ScreenFacts, job: int) -> None:
        super().__init__(facts, f"Restore what job {job} replaced")
        self._job = job

    def make(self, cancelled: Cancellation) -> RestorePlan:
        return self.facts.services.undoing.plan_restore(self._job)

    def content(self, plan: RestorePlan) -> Content:
        return restore_content(plan, self.facts.key_words)

    def label(self, plan: RestorePlan) -> str:
        return f"Restore {counted(plan.tokens, 'token')}" if plan.tokens else ""

    def start(self, plan: RestorePlan, consent: Consent) -> Begun:
        job = self.facts.services.undoing.start_restore(plan, consent)
        return worked_on(self.facts.services.job_processes, job, 1, trust=plan.key_arns)


def _key(arn: str, words: KeyWords) -> Content:
    return Content.assemble(
        "  ", (words.long(arn), "bold"), ("\n  " + fit_middle(arn, 60).rstrip(), "$muted")
    )


def restore_content(plan: RestorePlan, words: KeyWords) -> Content:
    many = counted(plan.tokens, "envelope")
    return Content("\n").join(
        [
            Content.assemble(
                (many, "bold"), f" that job {plan.job} replaced: restored unless changed since."
            ),
            Content("Newer values and removed rows stay as they are."),
            Content(""),
            Content("The tokens would be under:"),
            *(_key(arn, words) for arn in plan.key_arns),
            Content(""),
            Content.assemble(
                _WARNING, "That is the key they were moved from. Don't do this after a compromise."
            ),
            *(Content.assemble(_WARNING, warning) for warning in plan.warnings),
        ]
    )


class JobPreview(Proposal[JobPlan]):
    """The rate and the number of processes can be set; left empty, they are auto and as the plan says."""

    DEFAULT_CSS = """
    JobPreview #takes { margin-top: 1; }
    JobPreview .pace {
        height: 1;
        Label { padding: 0 1 0 0; color: $muted; }
        Input { margin-right: 1; }
        #rate { width: 12; }
        #processes { width: 8; }
    }
    """

    def __init__(self, facts: ScreenFacts, verb: Verb, selection: Selection, target: str) -> None:
        super().__init__(facts, f"{verb.words.capitalize()} as a job")
        self._verb = verb
        self._selection = selection
        self._target = target
        self._number = 1
        """Processes that were agreed to."""

    def make(self, cancelled: Cancellation) -> JobPlan:
        plan = self.facts.services.jobs.plan_job
        return plan(self._verb, self._selection, self._target, JobOptions(), cancelled=cancelled)

    def content(self, plan: JobPlan) -> Content:
        losses = [*loss_lines(plan), BLANK] if plan.losses else []
        return painted([*losses, *plan_lines(plan.plan, plan.kms_calls)])

    def label(self, plan: JobPlan) -> str:
        words = plan.plan.verb.words.capitalize()
        return f"{words} {counted(plan.plan.tokens, 'token')}" if plan.plan.tokens else ""

    def settings(self) -> Iterable[Widget]:
        plan = self._plan
        if plan is None:
            return
        yield Static(id="takes", classes="setting")
        rate = LineInput(placeholder="auto", id="rate", compact=True)
        number = LineInput(placeholder=f"{self._fitting(plan):,}", id="processes", compact=True)
        row = (Label("at most"), rate, Label("KMS calls/s"), Label("by"), number, Label("processes here"))
        yield Horizontal(*row, classes="pace setting")
        self.call_after_refresh(self.show_takes)

    @on(Input.Changed, "#rate")
    @on(Input.Changed, "#processes")
    def show_takes(self) -> None:
        if self._plan is None or not self.query("#takes"):
            return
        plan, number = self.chosen(self._plan), self._processes()
        shown = self.query_one("#takes", Static)
        if plan is None:
            words = "Enter KMS calls a second as a number above 0, or auto."
            shown.update(Content.assemble(("✖ ", "$error"), words))
        elif number is None:
            shown.update(Content.assemble(("✖ ", "$error"), f"Processes: 1 to {MOST_PROCESSES}, or nothing."))
        else:
            shown.update(Content(takes_words(plan, number)))

    @on(Input.Submitted, "#rate")
    @on(Input.Submitted, "#processes")
    def next_field(self) -> None:
        self.focus_next()

    def chosen(self, plan: JobPlan) -> JobPlan | None:
        number = self._processes()
        if number is None:
            return None
        self._number = number
        text = self._text("#rate")
        if text in ("", "auto"):
            return plan
        rate = _number(text)
        return plan.at(rate) if rate else None

    def start(self, plan: JobPlan, consent: Consent) -> Begun:
        job = self.facts.services.jobs.start_job(plan, consent)
        return worked_on(self.facts.services.job_processes, job, self._number)

    def _processes(self) -> int | None:
        text, plan = self._text("#processes"), self._plan
        if plan is None:
            return None
        if not text:
            rate = _number(self._text("#rate")) or plan.calls_per_second
            return self._fitting(plan, rate)
        number = _number(text)
        return int(number) if number and number.is_integer() and number <= MOST_PROCESSES else None

    def _fitting(self, plan: JobPlan, rate: float | None = None) -> int:
        processes = self.facts.services.job_processes
        return processes.fitting(rate or plan.calls_per_second, plan.plan.tokens)

    def _text(self, field: str) -> str:
        return "".join(str(found.value) for found in self.query(field).results(Input)).strip()


def _number(text: str) -> float | None:
    text = text.replace(",", "").replace("_", "")
    if not text.isascii() or not text.replace(".", "", 1).isdecimal() or len(text) > 12:
        return None
    number = float(text)
    return number if number > 0 else None
