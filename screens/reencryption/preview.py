"""The dry run: what would happen to which tokens, and the question whether it should."""

from __future__ import annotations

from textual.content import Content

from crypto_core.guard.consent import Consent
from crypto_core.reencryption.plan import Plan, Selection, Verb
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from screens.facts import ScreenFacts
from screens.plan_words import plan_lines
from screens.widgets.cells import painted
from screens.widgets.plan_dialog import PlanDialog


class Preview(PlanDialog[Plan, tuple[Plan, Consent]]):
    """Returns the plan with the operator's consent to it, else None."""

    def __init__(self, facts: ScreenFacts, verb: Verb, selection: Selection, target: str) -> None:
        super().__init__(facts, verb.words.capitalize())
        self._verb = verb
        self._selection = selection
        self._target = target

    def make(self, cancelled: Cancellation) -> Plan:
        return self.facts.services.work.plan_reencryption(self._verb, self._selection, self._target)

    def content(self, plan: Plan) -> Content:
        return painted(plan_lines(plan))

    def label(self, plan: Plan) -> str:
        return f"{plan.verb.words.capitalize()} {counted(plan.tokens, 'token')}" if plan.tokens else ""

    def go_on(self, plan: Plan, consent: Consent) -> None:
        self.dismiss((plan, consent))
