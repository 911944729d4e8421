"""The plan of a job: what would happen to which tokens, who would lose access, how fast and at what cost."""

from __future__ import annotations

from collections.abc import Iterable

from textual import on
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from crypto_core.cancelling import Cancellation
from crypto_core.guard.consent import Consent
from crypto_core.reencryption.jobs.model import JobOptions, JobPlan
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.text.counting import counted
from screens.facts import Facts
from screens.jobs.proposal import Begun, Proposal, worked_on
from screens.jobs.work import job_work
from screens.plan_words import loss_lines, plan_lines, takes_words
from screens.styled import BLANK
from screens.widgets.cells import painted
from screens.widgets.line_input import LineInput

MOST_PROCESSES = 64


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

    def __init__(self, facts: Facts, verb: Verb, selection: Selection, target: str) -> None:
        super().__init__(facts, f"{verb.words.capitalize()} as a job")
        self._verb = verb
        self._selection = selection
        self._target = target
        self._number = 1
        """Processes that were agreed to."""

    def make(self, cancelled: Cancellation) -> JobPlan:
        """Ask for the plan."""
        plan = job_work(self.facts).plan_job
        return plan(self._verb, self._selection, self._target, JobOptions(), cancelled=cancelled)

    def content(self, plan: JobPlan) -> Content:
        """Who would lose access first, then the plan."""
        losses = [*loss_lines(plan), BLANK] if plan.losses else []
        return painted([*losses, *plan_lines(plan.plan, plan.kms_calls)])

    def label(self, plan: JobPlan) -> str:
        """What would be done, to how many tokens."""
        words = plan.plan.verb.words.capitalize()
        return f"{words} {counted(plan.plan.tokens, 'token')}" if plan.plan.tokens else ""

    def settings(self) -> Iterable[Widget]:
        """How fast, and what that comes to."""
        plan = self._plan
        if plan is None:
            return
        yield Static(id="takes", classes="setting")
        rate = LineInput(placeholder="auto", id="rate", compact=True)
        row: list[Widget] = [Label("at most"), rate, Label("KMS calls/s")]
        if self.facts.services.job_processes is not None:
            number = LineInput(placeholder=f"{self._fitting(plan):,}", id="processes", compact=True)
            row += [Label("by"), number, Label("processes here")]
        yield Horizontal(*row, classes="pace setting")
        self.call_after_refresh(self.show_takes)

    @on(Input.Changed, "#rate")
    @on(Input.Changed, "#processes")
    def show_takes(self) -> None:
        """Say what the job takes as it is set now."""
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
        """On to the next field."""
        self.focus_next()

    def chosen(self, plan: JobPlan) -> JobPlan | None:
        """Return the plan at the rate that was set."""
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
        """Make the job, and let processes of this host work on it."""
        job = job_work(self.facts).start_job(plan, consent)
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
        return processes.fitting(rate or plan.calls_per_second, plan.plan.tokens) if processes else 1

    def _text(self, field: str) -> str:
        return "".join(str(found.value) for found in self.query(field).results(Input)).strip()


def _number(text: str) -> float | None:
    """A number above 0, None for anything else."""
    text = text.replace(",", "").replace("_", "")
    if not text.isascii() or not text.replace(".", "", 1).isdecimal() or len(text) > 12:
        return None
    number = float(text)
    return number if number > 0 else None
