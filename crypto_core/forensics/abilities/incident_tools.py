"""Abilities in an incident: providers are asked what the tokens in scope can do, so the worst go first.

What they can do is kept on the operator's machine alone. The incident, which is in the database, remembers
only of which tokens it is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crypto_core.forensics.abilities.service import AbilityAnswers, AbilityRequest, AbilityService
from crypto_core.guard.consent import Danger
from crypto_core.incidents.model import CheckResult, CheckState, Incident
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.steps.step_contracts import ActionPlan, ActionResult, Captured, Situation, Toolbox
from crypto_core.incidents.tokens.baseline import Baseline
from crypto_core.incidents.tokens.checks import seen
from crypto_core.incidents.tokens.token_action import AgreedRun, TokenAction, must_be_whole, nothing_to_do
from crypto_core.incidents.tokens.toolbox import in_short
from crypto_core.incidents.tokens.verification_result import listed
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted

_NO_HURRY = "Changes nothing, revokes nothing. Containment does not wait: skip this where it takes too long."


class AskScopeAbilities(TokenAction):
    """Only running it sends a token, and only to its own provider."""

    def __init__(self, baseline: Baseline, abilities: AbilityService) -> None:
        self._baseline = baseline
        self._abilities = abilities

    def plan_action(self, situation: Situation) -> ActionPlan:
        """Return whom it would ask. Sends nothing."""
        standing = self._baseline.standing(situation)
        must_be_whole(standing.before)
        refs = tuple(ref for ref in standing.marks if ref in standing.now and len(standing.now[ref].value))
        request = self._abilities.question(refs)
        left = listed(f"{one.ref}: no provider to ask: {one.how}" for one in request.not_asked)
        if not request.tokens:
            nothing = f"Nobody is left to ask: {counted(len(request.fresh), 'answer')} young enough."
            return nothing_to_do("Ask nobody", situation, nothing, *left, inner=request)
        return ActionPlan(
            title="Ask the providers what the tokens can do",
            digest=request.digest,
            danger=request.danger,
            confirmation=request.confirmation,
            does=request.does(),
            does_not=(_NO_HURRY, *left),
            inner=request,
        )

    def run_agreed(self, run: AgreedRun) -> ActionResult:
        """Ask. Raises InterruptedRunError and what the service raises; what was answered is kept."""
        request = self.inner_plan(run, AbilityRequest)
        standing = self._baseline.standing(run.situation)
        consent = None if run.plan.danger is Danger.NONE else run.consent
        answers = (
            self._abilities.ask(request, consent, progress=run.progress, cancelled=run.situation.cancelled)
            if request.tokens
            else self._abilities.already(request)
        )
        content = _evidence(answers)
        name = run.situation.incident.name
        return ActionResult(
            complete=True,
            lines=(
                _summary(answers),
                f"In order, with reasons: keydeck abilities --incident {name} --order --kept",
                *listed(f"{one['reference']}: not known: {one['why']}" for one in content["not_known"]),
            ),
            evidence=(
                *standing.fresh,
                Captured(CaptureKind.ABILITIES, f"Asked what they can do: {_summary(answers)}", content),
            ),
        )


@dataclass(frozen=True, slots=True)
class AbilityChecks:
    """Looks at what is remembered; asks nobody."""

    baseline: Baseline

    def abilities_asked(self, situation: Situation) -> CheckResult:
        """Return whether of every token in scope its provider was asked, or it is named as not known."""
        incident, remembered = situation.incident, self.baseline.remembered
        before, last = remembered.before(incident), self._last(incident)
        if before is None or last is None:
            return seen(CheckState.NOT_YET, "No provider was asked yet. Do not wait for it: revoke, or skip.")
        unknown = [str(one["reference"]) for one in last["not_known"]]
        named = {*map(str, last["known"]), *unknown}
        left = [mark.ref for mark in before.marks if str(mark.ref) not in named]
        done, total = len(before.marks) - len(left), len(before.marks)
        line = f"{done:,} of {counted(total, 'token')} asked about, {len(unknown):,} of them not known."
        if left:
            names = listed(f"{ref}: not asked about" for ref in left)
            return seen(CheckState.NOT_YET, line, *names, done=done, total=total)
        names = listed(f"{name}: not known, so it counts as the worst" for name in unknown)
        return seen(CheckState.PASSED, line, *names, done=done, total=total)

    def captured(self, situation: Situation) -> tuple[Captured, ...]:
        """Return how many tokens have known abilities.

        Raises RefusedError if no provider was asked yet.
        """
        last = self._last(situation.incident)
        numbers = last and {"known": len(last["known"]), "not_known": len(last["not_known"])}
        return in_short(CaptureKind.ABILITIES, "Known of what the tokens can do", numbers)

    def _last(self, incident: Incident) -> dict[str, Any] | None:
        found = self.baseline.remembered.last(incident, CaptureKind.ABILITIES)
        whole = found is not None and all(isinstance(found.get(n), list) for n in ("known", "not_known"))
        return dict(found) if found is not None and whole else None


def _evidence(answers: AbilityAnswers) -> dict[str, Any]:
    """Of which tokens it is known what they can do, and of which not; never what."""
    unanswered = {one.ref for one in answers.unanswered}
    silent = [{"reference": str(one.ref), "why": clean(one.reason, 200)} for one in answers.unanswered]
    by_hand = [{"reference": str(one.ref), "why": clean(one.how, 200)} for one in answers.not_asked]
    return {
        "known": [str(one.ref) for one in answers.answers if one.ref not in unanswered],
        "not_known": silent + by_hand,
        "kept": "What they can do is on the machine of who asked, not in this database.",
    }


def _summary(answers: AbilityAnswers) -> str:
    unknown = len(answers.unanswered) + len(answers.not_asked)
    total = len(answers.answers) + len(answers.not_asked)
    return f"{counted(total, 'token')}: {total - unknown:,} known, {unknown:,} not known."


def ability_tools(parts: ToolServices, abilities: AbilityService) -> Toolbox:
    baseline = Baseline(parts)
    checks = AbilityChecks(baseline)
    return Toolbox(
        actions={ActionKind.ASK_ABILITIES: AskScopeAbilities(baseline, abilities)},
        checks={CheckKind.ABILITIES_ASKED: checks.abilities_asked},
        captures={CaptureKind.ABILITIES: checks.captured},
    )
