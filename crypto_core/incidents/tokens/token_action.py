"""What the actions about tokens share: they carry out the confirmed plan, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from crypto_core.guard.consent import Consent, Danger, require
from crypto_core.incidents.steps.step_contracts import (
    ActionPlan,
    ActionResult,
    IncidentAction,
    Progress,
    Situation,
    plan_digest,
)
from crypto_core.incidents.tokens.token_evidence import Before
from crypto_core.values.errors import NotConfirmedError, RefusedError

Inner = TypeVar("Inner")


@dataclass(frozen=True, slots=True)
class AgreedRun:
    """A plan that was agreed to as it demands, and what it is run with."""

    situation: Situation
    plan: ActionPlan
    consent: Consent | None
    progress: Progress | None


class TokenAction(IncidentAction):
    """An action about tokens. One of its own says what it plans, and how it does it."""

    def run_action(
        self, situation: Situation, plan: ActionPlan, consent: Any, progress: Progress | None = None
    ) -> ActionResult:
        """Require the consent that the plan demands, then do it. See IncidentAction.run_action."""
        if consent is not None or plan.danger is not Danger.NONE:
            require(consent, plan)
        return self.run_agreed(AgreedRun(situation, plan, consent, progress))

    def run_agreed(self, run: AgreedRun) -> ActionResult:
        """Carry out the confirmed plan, read back its effect, and return that as evidence."""
        raise NotImplementedError

    def inner_plan(self, run: AgreedRun, kind: type[Inner]) -> Inner:
        """Return the service's plan; made anew where it wasn't handed on. Raises NotConfirmedError."""
        if isinstance(run.plan.inner, kind):
            return run.plan.inner
        anew = self.plan_action(run.situation)
        if anew.digest != run.plan.digest or not isinstance(anew.inner, kind):
            raise NotConfirmedError("The confirmation was given for a different plan.")
        return anew.inner


def nothing_to_do(
    title: str, situation: Situation, why: str, *does_not: str, inner: object = None
) -> ActionPlan:
    digest = plan_digest(situation.incident.name, why, *does_not)
    return ActionPlan(title, digest, Danger.NONE, does=(why,), does_not=does_not, inner=inner)


def sample_of(situation: Situation) -> int:
    """Return how many tokens the step wants tried, 0 for all."""
    asked = situation.step.action_options.get("sample", 0)
    return max(asked, 0) if isinstance(asked, int) else 0


def must_be_whole(before: Before) -> None:
    """Raise RefusedError where not all tokens in scope are known: acting on a part would look like all."""
    if not before.whole:
        raise RefusedError(
            "Not all tokens in scope can be acted on.",
            remedy=" ".join(before.gaps) or "Capture the tokens again once KMS and the database answer.",
        )
