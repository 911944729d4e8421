"""A run under way: how far it is, a way to stop it, and what it did."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from crypto_core.cancelling import Cancellation
from crypto_core.guard.consent import Consent
from crypto_core.reencryption.plan import Plan, RunProgress, RunResult, Selection, Unwritten, Verification
from crypto_core.text.counting import counted
from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.reencryption.preview import unwritten_lines
from screens.widgets.cells import bar, tokens
from screens.widgets.dialog import Dialog, button
from screens.widgets.notice import trouble_content

Outcome = RunResult | tuple[Verification, ...] | Trouble
POLL_SECONDS = 0.1
_DAY = 86_400.0


class Run(Dialog[Outcome | None]):
    """Does what a plan says, or verifies a selection. Returns what came of it, None if it was left earlier.

    Stopping asks the service to stop; what was written stays written. Who doesn't want to wait for that can
    leave: the rows tell what was done.
    """

    def __init__(
        self, facts: Facts, job: Plan | Selection, count: int, consent: Consent | None = None
    ) -> None:
        """`consent` is the operator's to the plan; a verification needs none."""
        super().__init__()
        self._consent = consent
        self._facts = facts
        self._job = job
        self._count = count
        self._progress: RunProgress | None = None
        self._outcome: Outcome | None = None
        self._asked: PendingCall[RunResult | tuple[Verification, ...]] | None = None

    def compose(self) -> ComposeResult:
        """Progress, then the result, and one button."""
        words = self._job.verb.words if isinstance(self._job, Plan) else "verify"
        with Vertical(classes="frame") as frame:
            frame.border_title = Content(f"{words.capitalize()} {tokens(self._count)}")
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(id="run")
            with Horizontal(classes="buttons"):
                yield button("Stop", "stop")

    def on_mount(self) -> None:
        """Start."""
        self.query_one("#stop").focus()
        self.show_progress()
        self.set_interval(POLL_SECONDS, self.show_progress)
        self._asked = ask(self, self._call, self._end, group="run", limit=_DAY)

    def on_unmount(self) -> None:
        """Nobody waits any more."""
        if self._asked is not None:
            self._asked.drop()

    def _call(self, cancelled: Cancellation) -> RunResult | tuple[Verification, ...]:
        """In a thread; progress is picked up from there by a timer, so it can't flood the screen."""
        service = self._facts.services.work
        if isinstance(self._job, Plan):
            return service.run_plan(self._job, self._consent, progress=self._note, cancelled=cancelled)
        return service.verify_tokens(self._job, progress=self._note, cancelled=cancelled)

    def _note(self, progress: RunProgress) -> None:
        self._progress = progress

    def show_progress(self) -> None:
        """Show how far the run is."""
        if self._outcome is None:
            self.query_one("#run", Static).update(
                progress_content(self._progress, self._count, stopping=self._stopping)
            )

    @property
    def _stopping(self) -> bool:
        return self._asked is not None and self._asked.cancellation.is_set()

    def _end(self, outcome: Outcome) -> None:
        """Show what came of it."""
        self._outcome = outcome
        self.query_one("#run", Static).update(outcome_content(outcome))
        self.query_one("#stop", Button).label = Content(" Close ")

    @on(Button.Pressed, "#stop")
    def stop_or_close(self) -> None:
        """Stop the run; when it has ended, close."""
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
    """Return a bar, the counts and the rate."""
    done = progress.done + progress.poisoned if progress else 0
    total = (progress.total if progress else 0) or count
    lines = [
        Content.assemble(
            (bar(done / total if total else 0, 36), "$accent on $panel"), (f"  {done:,} of {total:,}", "bold")
        )
    ]
    if progress is not None:
        left = (total - done) / progress.per_second if progress.per_second else None
        eta = f"   about {left:,.0f} s to go" if left is not None and done < total else ""
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
                ("Stopping… ", "bold $warning"), "What is written stays written. Esc leaves without waiting."
            )
        )
    return Content("\n").join(lines)


def outcome_content(outcome: Outcome) -> Content:
    """Return what a run or a verification came to."""
    if isinstance(outcome, Trouble):
        return trouble_content(outcome)
    if isinstance(outcome, RunResult):
        return _result(outcome)
    failed = [Unwritten(str(v.ref), v.reason or "It did not open.") for v in outcome if not v.opened]
    opened = len(outcome) - len(failed)
    lines = [Content.assemble(("● ", "$success"), (f"{tokens(opened)} opened", "bold"))] if opened else []
    if not outcome:
        lines = [Content("Nothing was opened.")]
    if failed:
        lines.append(Content.assemble(("✖ ", "$error"), (f"{tokens(len(failed))} did not open:", "bold")))
        lines += unwritten_lines(failed)
    return Content("\n").join(lines)


def _result(result: RunResult) -> Content:
    sign = ("● ", "$success") if result.complete else ("▲ ", "$warning")
    lines = [
        Content.assemble(
            sign,
            (f"{result.done:,} of {tokens(result.planned)} written", "bold"),
            (f"   {result.seconds:,.1f} s   {counted(result.kms_calls, 'call')} of KMS", "$muted"),
        )
    ]
    if result.changed_meanwhile:
        lines.append(Content(f"{tokens(result.changed_meanwhile)} changed meanwhile; the newer values stay."))
    if result.conflicts_retried:
        lines.append(Content(f"{result.conflicts_retried:,} conflicts with other writers, tried again."))
    if result.remaining:
        lines.append(Content(f"{tokens(result.remaining)} not reached. Run it again to go on."))
    if result.stopped_by:
        lines.append(Content.assemble(("▲ ", "$warning"), "Stopped: ", result.stopped_by))
    if result.poisoned:
        lines.append(
            Content.assemble(("✖ ", "$error"), (f"{tokens(len(result.poisoned))} can't be written:", "bold"))
        )
        lines += unwritten_lines(result.poisoned)
    return Content("\n").join(lines)
