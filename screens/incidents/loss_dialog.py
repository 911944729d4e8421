"""Tokens that open for nobody: which they are, what accepting them as lost means, and their number typed."""

from __future__ import annotations

from typing import ClassVar

from textual.content import Content

from crypto_core.cancelling import Cancellation
from crypto_core.guard.consent import Consent
from crypto_core.incidents.steps.step_contracts import ActionPlan
from crypto_core.text.cleaning import shortened
from screens.facts import Facts
from screens.incidents.step_dialog import Agreed, plan_content
from screens.incidents.work import incident_work
from screens.widgets.plan_dialog import PlanDialog


class LossDialog(PlanDialog[ActionPlan, Agreed]):
    """Returns the plan with the operator's consent, else None."""

    LOOKING: ClassVar[str] = "Opening each token that is left…"

    def __init__(self, facts: Facts, incident: int, reason: str) -> None:
        super().__init__(facts, "Accept as unrecoverable")
        self._incident, self._reason = incident, reason

    def make(self, cancelled: Cancellation) -> ActionPlan:
        """Ask for the plan: KMS is asked about each token."""
        plan = incident_work(self.facts).plan_accept_lost
        return plan(self._incident, self._reason, cancelled=cancelled)

    def content(self, plan: ActionPlan) -> Content:
        return plan_content(plan)

    def heading(self, plan: ActionPlan) -> str:
        return shortened(plan.title, 80)

    def label(self, plan: ActionPlan) -> str:
        return "Accept as lost"

    def go_on(self, plan: ActionPlan, consent: Consent) -> None:
        self.dismiss(Agreed(plan, consent, {}))
