"""A change of a key from its preview to its effect: nothing is done before the operator has agreed."""

from __future__ import annotations

from collections.abc import Callable

from textual.content import Content

from crypto_core.database.tokens.sweep.full_read import ReadingProgress
from crypto_core.guard.consent import Consent
from crypto_core.keys.changes.change import KeyChange
from crypto_core.keys.changes.plan import ChangePlan, ChangeResult
from crypto_core.values.cancellation import Cancellation
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.key_changes.change_words import effect_facts, outcome_lines, plan_lines, stop_lines
from screens.styled_text import BLANK, WARNING
from screens.widgets.cells import painted
from screens.widgets.notice import trouble_content
from screens.widgets.plan_dialog import PlanDialog
from screens.worker_calls import ask

MOST_LINES = 400
"""Lines of a policy's difference that are shown."""


class ChangeDialog(PlanDialog[ChangePlan, ChangeResult]):
    """Returns what came of the change, None if nothing was tried."""

    LIMIT_SECONDS = 86_400.0
    DEFAULT_CSS = """
    ChangeDialog #typed { width: 100%; }
    """

    def __init__(self, facts: ScreenFacts, change: Callable[[], KeyChange]) -> None:
        """`change` says what is to be changed; it may block, and raise what a plan may."""
        super().__init__(facts, "")
        self._change = change
        self._result: ChangeResult | None = None

    def make(self, cancelled: Cancellation) -> ChangePlan:
        """Ask for the plan; before harm the whole database is read for it, for as long as that takes."""
        changes = self.facts.services.key_changes
        with changes.watching_reading(self._take_progress):
            return changes.plan_change(self._change(), cancelled=cancelled)

    def _take_progress(self, progress: ReadingProgress) -> None:
        self.call_later(self._show_progress, progress.words)

    def _show_progress(self, words: str) -> None:
        if self.is_mounted and self._plan is None:
            self.tell("", Content(f"{words}. What was read by then is kept if you leave."))

    def content(self, plan: ChangePlan) -> Content:
        return painted(plan_lines(plan, MOST_LINES))

    def heading(self, plan: ChangePlan) -> str:
        return plan.title

    def label(self, plan: ChangePlan) -> str:
        return "" if plan.changes_nothing else plan.title

    def go_on(self, plan: ChangePlan, consent: Consent) -> None:
        self.under_way(f"{plan.title}: under way", "Asking KMS, then reading the effect back…")
        run = self.facts.services.key_changes.make_change
        self._asked = ask(
            self,
            lambda cancelled: run(plan, consent, cancelled=cancelled),
            self._end,
            group="change",
            limit=self.LIMIT_SECONDS,
        )

    def _end(self, outcome: ChangeResult | Failure) -> None:
        if isinstance(outcome, Failure):
            self.tell("Not done", trouble_content(outcome), leave="Close")
            return
        self._result = outcome
        self.tell(outcome.plan.title, result_content(outcome), leave="Close")

    def action_leave(self) -> None:
        """Close. A change that is under way is asked to stop; what KMS has done by then stays done."""
        self.dismiss(self._result)


def result_content(result: ChangeResult) -> Content:
    next_steps = [BLANK, *((f"→ {step}",) for step in result.next_steps)]
    unjournaled = [BLANK, (WARNING, "not in the journal: ", result.unjournaled)]
    return painted(
        [
            *stop_lines(result),
            *outcome_lines(result),
            *effect_facts(result),
            *(next_steps if result.next_steps else []),
            *(unjournaled if result.unjournaled else []),
        ]
    )
