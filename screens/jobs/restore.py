"""Undoing a job: the envelopes that it replaced, restored unless a newer value is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from crypto_core.cancelling import Cancellation
from crypto_core.errors import RefusedError
from crypto_core.guard.consent import Consent
from crypto_core.reencryption.jobs.undo import RestorePlan
from crypto_core.text.counting import counted
from screens.facts import Facts
from screens.jobs.proposal import Begun, Proposal, worked_on
from screens.key_words import KeyWords
from screens.widgets.cells import fit_middle

if TYPE_CHECKING:
    from crypto_core.reencryption.jobs.undo import Undoing

_WARNING = ("▲ ", "$warning")


class RestoreDialog(Proposal[RestorePlan]):
    """A restore is a job itself; one process of this console works on it."""

    def __init__(self, facts: Facts, job: int) -> None:
        super().__init__(facts, f"Restore what job {job} replaced")
        self._job = job

    def make(self, cancelled: Cancellation) -> RestorePlan:
        """Ask for the plan."""
        return self._undoing().plan_restore(self._job)

    def content(self, plan: RestorePlan) -> Content:
        """What would be restored, under which keys."""
        return restore_content(plan, self.facts.key_words)

    def label(self, plan: RestorePlan) -> str:
        """How many would be restored."""
        return f"Restore {counted(plan.tokens, 'token')}" if plan.tokens else ""

    def start(self, plan: RestorePlan, consent: Consent) -> Begun:
        """Make the job that undoes the other."""
        job = self._undoing().start_restore(plan, consent)
        return worked_on(self.facts.services.job_processes, job, 1, trust=plan.key_arns)

    def _undoing(self) -> Undoing:
        undoing = self.facts.services.undoing
        if undoing is None:
            raise RefusedError("Jobs can't be undone here.")
        return undoing


def _key(arn: str, words: KeyWords) -> Content:
    return Content.assemble(
        "  ", (words.long(arn), "bold"), ("\n  " + fit_middle(arn, 60).rstrip(), "$muted")
    )


def restore_content(plan: RestorePlan, words: KeyWords) -> Content:
    """Return what undoing a job comes to."""
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
        ]
    )
