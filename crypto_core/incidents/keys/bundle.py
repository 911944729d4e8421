"""Several changes of keys as one plan: a multi-Region key is locked, disabled or deleted Region by Region.

One change alone keeps its digest, danger and confirmation, so that the same consent is one to it. Of several,
who agreed to all has agreed to each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crypto_core.guard.consent import DANGERS, Consent, Danger, Origin, require
from crypto_core.incidents.keys.subject import said
from crypto_core.incidents.steps.step_contracts import (
    ActionPlan,
    ActionResult,
    IncidentAction,
    Progress,
    Situation,
    plan_digest,
)
from crypto_core.incidents.suspects import Suspect, Suspects
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.keys.changes.change import KeyChange
from crypto_core.keys.changes.plan import UNCOUNTED, ChangePlan, ChangeResult
from crypto_core.values.errors import KeydeckError, NotConfirmedError

if TYPE_CHECKING:
    from crypto_core.keys.changes.service import KeyChangeService


@dataclass(frozen=True, slots=True)
class Bundle:
    """What an action does one after the other, and what is remembered of it."""

    plans: tuple[ChangePlan, ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    number: str = ""
    """What is typed of the tokens under the key itself; "" where that is all that is typed."""
    suspects: str = ""
    """The names of the suspects that get a right, as they are typed: neither a press nor --yes is enough."""


def bundled(
    title: str,
    plans: Sequence[ChangePlan],
    *,
    does: Sequence[str] = (),
    does_not: Sequence[str] = (),
    warnings: Sequence[str] = (),
    values: Sequence[tuple[str, str]] = (),
    told: Sequence[str] = (),
    also_lost: str = "",
    suspects: Sequence[Suspect] = (),
) -> ActionPlan:
    """Return the plans as one. `told` is what else was agreed to than the plans themselves say.

    `also_lost` is how many tokens are given up besides those that the plans count: it is typed with these.
    `suspects` get a right by it: their names are typed, behind the number of tokens where one is.
    """
    names = " ".join(suspect.name for suspect in suspects)
    worst = max((p.danger for p in plans), key=DANGERS.index, default=Danger.NONE)
    typed = [p for p in plans if p.danger is Danger.TYPED]
    alone = len(plans) == 1 and not told and not also_lost and not suspects
    counting = next((p for p in typed if p.refused_unless_typed), None)
    first = counting or (typed[0] if typed else None)
    number = counting.confirmation if counting and (also_lost or suspects) else ""
    confirmation = plans[0].confirmation if alone else first.confirmation if first else ""
    if also_lost:
        confirmation = _both(number, also_lost)
    if suspects:
        confirmation = f"{confirmation if counting or also_lost else ''} {names}".strip()
    return ActionPlan(
        title=title,
        digest=plans[0].digest
        if alone
        else plan_digest(title, *(p.digest for p in plans), *told, also_lost, *([names] if names else [])),
        danger=Danger.TYPED if suspects else worst,
        confirmation=confirmation,
        does=said([*does, *(line for plan in plans for line in _does(plan, alone=len(plans) == 1))], 80),
        does_not=said([*does_not, *(line for plan in plans for line in plan.does_not)]),
        warnings=said(
            [*map(given_to, suspects), *warnings, *(line for plan in plans for line in plan.warnings)], 80
        ),
        inner=Bundle(tuple(plans), tuple(values), number, names),
    )


def given_to(suspect: Suspect) -> str:
    return f"SUSPECT: {suspect.name} would get access ({suspect.arn}): {'; '.join(suspect.why)}."


def suspects_among(suspects: Suspects, arns: Iterable[str]) -> tuple[Suspect, ...]:
    found = (suspects.named(arn) for arn in arns)
    return tuple(dict.fromkeys(suspect for suspect in found if suspect is not None))


def _both(number: str, also_lost: str) -> str:
    """How many tokens are given up in all, as it is typed."""
    if number.isdecimal() and also_lost.isdecimal():
        return str(int(number) + int(also_lost))
    return also_lost if number in ("", also_lost) else UNCOUNTED


def _does(plan: ChangePlan, *, alone: bool) -> list[str]:
    head = [] if alone else [f"{plan.title} in {plan.region}"]
    return [*head, *plan.policy_changes, *plan.does]


class KeyAction(IncidentAction):
    """An action that changes keys. One of its own says what it plans, as a bundle of changes."""

    def __init__(self, services: ToolServices) -> None:
        self._services = services

    def run_action(
        self, situation: Situation, plan: ActionPlan, consent: Any, progress: Progress | None = None
    ) -> ActionResult:
        """Make the changes in their order, and read back what came of each. See IncidentAction.run_action."""
        result, _ = self.run_changes(situation, plan, consent, progress)
        return result

    def plan_change(self, situation: Situation, change: KeyChange) -> ChangePlan:
        """Return what one change would do. Raises RefusedError, KmsError."""
        return self._services.changes.plan_change(change, cancelled=situation.cancelled)

    def run_changes(
        self, situation: Situation, plan: ActionPlan, consent: Consent | None, progress: Progress | None
    ) -> tuple[ActionResult, tuple[ChangeResult, ...]]:
        """Make the changes of a plan in their order, and return what came of each too.

        What stops one keeps the rest from being made. Raises NotConfirmedError, ReadOnlyError, and what the
        first change raises. A later one's error is a line of the result, which is not complete then: what was
        done before is to be remembered.
        """
        changes, bundle = self._services.changes, plan.inner
        given = agreed(changes, plan, consent)
        results: list[ChangeResult] = []
        lines: list[str] = []
        complete = True
        for one in bundle.plans:
            try:
                consent_to_it = _consent_to(one, given, bundle.number)
                result = changes.make_change(one, consent_to_it, cancelled=situation.cancelled)
            except KeydeckError as error:
                if not results:
                    raise
                lines.append(f"{one.title}: {error}")
                complete = False
                break
            results.append(result)
            lines += _told(result)
            if progress is not None:
                progress(len(results), len(bundle.plans))
            if result.stopped_by or not result.verified:
                complete = False
                break
        if not complete:
            lines += [f"Not done: {left.title} in {left.region}" for left in bundle.plans[len(results) :]]
        if not bundle.plans:
            lines.append("There was nothing to change.")
        return ActionResult(complete, said(lines, 80), dict(bundle.values)), tuple(results)


def _told(result: ChangeResult) -> list[str]:
    """What became of one change, in words."""
    head = f"{result.plan.title}: "
    if result.verified:
        seen = "; ".join(f"{fact.name} is {fact.after}" for fact in result.facts)
        lines = [head + (f"done. {seen}" if result.done else f"already in this state. {seen}")]
    else:
        lines = [head + f"not confirmed: {result.unverified}"]
    lines += [result.stopped_by] if result.stopped_by else []
    lines += [f"The end is not in the journal: {result.unjournaled}"] if result.unjournaled else []
    return [*lines, *result.next_steps]


def agreed(changes: KeyChangeService, outer: ActionPlan, consent: Consent | None) -> Consent:
    """Return the consent to a plan. Raises NotConfirmedError, which the first change has journaled."""
    try:
        given = require(consent, outer)
        _require_typed_suspects(outer, given)
        return given
    except NotConfirmedError:
        for plan in outer.inner.plans[:1]:
            changes.make_change(plan, None)  # refuses, and journals that nobody has agreed
        raise


def _require_typed_suspects(outer: ActionPlan, given: Consent) -> None:
    """Raise NotConfirmedError unless the names of suspects that get a right were typed."""
    if outer.inner.suspects and given.origin is not Origin.TYPED:
        raise NotConfirmedError(
            f"A suspect would get access: type {outer.confirmation} to confirm.",
            remedy="keydeck incident next takes it with --confirm; --yes is not enough.",
        )


def _consent_to(plan: ChangePlan, given: Consent, number: str) -> Consent:
    """The consent to one of the plans that were agreed to together.

    The number of tokens that would be lost must be what was typed, of each; `number` is that part of it.
    """
    if given.digest == plan.digest:
        return given
    if given.origin is not Origin.TYPED:
        return Consent(plan.digest, given.origin)
    text = (number or given.text) if plan.refused_unless_typed else plan.confirmation
    return Consent(plan.digest, given.origin, text)
