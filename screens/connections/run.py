"""A run under way: how far it is, a way to stop it, and what it did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from crypto_core.guard.consent import Consent
from crypto_core.reencryption.plan import Plan, RunProgress, RunResult, Selection, Unwritten, Verification
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.plan_words import result_lines, stop_lines, unwritten_lines
from screens.styled_text import BAD, GOOD, StyledLine
from screens.widgets.cells import painted
from screens.widgets.cells import progress as bar_of
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.notice import trouble_content
from screens.worker_calls import ask

Outcome = RunResult | tuple[Verification, ...] | Failure
POLL_SECONDS = 0.1
_DAY = 86_400.0
_WIDTH = 66


class RunDialog(Dialog[Outcome | None]):
    """Does what a plan says, or verifies a selection. Returns what came of it, None if it was left earlier.

    Stopping asks the service to stop; what was written stays written. Who doesn't want to wait for that can
    leave: the rows tell what was done.
    """

    def __init__(
        self, facts: ScreenFacts, job: Plan | Selection, count: int, consent: Consent | None = None
    ) -> None:
        """`consent` is the operator's to the plan; a verification needs none."""
        super().__init__()
        self._consent = consent
        self._facts = facts
        self._job = job
        self._count = count
        self._progress: RunProgress | None = None
        self._outcome: Outcome | None = None

    def compose(self) -> ComposeResult:
        words = self._job.verb.words if isinstance(self._job, Plan) else "verify"
        with framed(f"{words.capitalize()} {counted(self._count, 'token')}"):
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(id="run")
            yield buttons(("Stop", "stop"))

    def on_mount(self) -> None:
        self.show_progress()
        self.set_interval(POLL_SECONDS, self.show_progress)
        self._asked = ask(self, self._call, self._end, group="run", limit=_DAY)

    def _call(self, cancelled: Cancellation) -> RunResult | tuple[Verification, ...]:
        """In a thread; progress is picked up from there by a timer, so it can't flood the screen."""
        service = self._facts.services.work
        if isinstance(self._job, Plan):
            return service.run_plan(self._job, self._consent, progress=self._note, cancelled=cancelled)
        return service.verify_tokens(self._job, progress=self._note, cancelled=cancelled)

    def _note(self, progress: RunProgress) -> None:
        self._progress = progress

    def show_progress(self) -> None:
        if self._outcome is None:
            self.query_one("#run", Static).update(
                progress_content(self._progress, self._count, stopping=self._stopping)
            )

    @property
    def _stopping(self) -> bool:
        return self._asked is not None and self._asked.cancellation.is_set()

    def _end(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self.query_one("#run", Static).update(outcome_content(outcome))
        self.query_one("#stop", Button).label = Content(" Close ")

    @on(Button.Pressed, "#stop")
    def stop_or_close(self) -> None:
        self.action_leave()

    def action_leave(self) -> None:
        """Close after the end; before it, ask the run to stop first and leave the second time."""
        if self._asked is None or self._outcome is not None or self._stopping:
            self.dismiss(self._outcome)
            return
        self._asked.cancellation.set()
        self.query_one("#stop", Button).label = Content(" Leave ")
        self.show_progress()


def progress_content(progress: RunProgress | None, count: int, *, stopping: bool) -> Content:
    done = progress.done + progress.poisoned if progress else 0
    total = (progress.total if progress else 0) or count
    lines = [bar_of(done, total, _WIDTH, "$accent")]
    if progress is not None:
        left = (total - done) / progress.per_second if progress.per_second else None
        eta = f"   about {left:,.0f} s remaining" if left is not None and done < total else ""
        lines.append(
            Content.assemble(
                (f"{progress.per_second:,.0f} tokens/s{eta}", "$muted"),
                (f"   conflicts {progress.conflicts:,}" if progress.conflicts else "", "$warning"),
                (f"   failed {progress.poisoned:,}" if progress.poisoned else "", "$error"),
            )
        )
    if stopping:
        lines.append(
            Content.assemble(
                ("Stopping… ", "bold $warning"), "Written tokens stay written. Esc leaves without waiting."
            )
        )
    return Content("\n").join(lines)


def outcome_content(outcome: Outcome) -> Content:
    if isinstance(outcome, Failure):
        return trouble_content(outcome)
    if isinstance(outcome, RunResult):
        return painted([*stop_lines(outcome), *result_lines(outcome)])
    return painted(_opened(outcome))


def _opened(found: Sequence[Verification]) -> Iterator[StyledLine]:
    failed = [Unwritten(str(v.ref), v.reason or "It did not open.") for v in found if not v.opened]
    if not found:
        yield ("Nothing was opened.",)
    if len(found) > len(failed):
        yield GOOD, (f"{counted(len(found) - len(failed), 'token')} opened", "bold")
    if failed:
        yield BAD, (f"{counted(len(failed), 'token')} did not open:", "bold")
        yield from unwritten_lines(failed)
