"""What the journal and the log hold of revocations: counts, references and hosts, never a token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from crypto_core.guard.guarded_change import Ended, GuardedChange
from crypto_core.guard.outcome import Outcome
from crypto_core.providers.answers import Liveness, RevocationPlan, RevocationResult
from crypto_core.text.cleaning import clean
from crypto_core.text.counting import counted

ACTION = "revoke tokens"
_LISTED = 1_000
"""References that one entry names; it always has their number."""


def change_of(plan: RevocationPlan, still: Callable[[], None]) -> GuardedChange:
    """Return a revocation as the guard, the journal and a second person see it."""
    subject = subject_of(len(plan.tokens))
    names = ", ".join(sorted(plan.by_provider))
    return GuardedChange(
        action=ACTION,
        subject=subject,
        words=f"revoke {subject}",
        plan=plan,
        summary=clean(f"Revoke {subject} at {names}", 300),
        shown=_shown(plan),
        still=still,
        changes_nothing=not plan.tokens,
    )


def planned(plan: RevocationPlan) -> dict[str, Any]:
    """Return what the journal keeps of a plan."""
    return {
        "plan": plan.digest,
        "tokens": [str(ref) for ref in plan.tokens[:_LISTED]],
        "number": len(plan.tokens),
        "by_provider": dict(plan.by_provider),
        "calls": dict(plan.calls),
        "by_hand": len(plan.by_hand),
        "endpoints": list(plan.endpoints),
    }


def ended(result: RevocationResult, *, interrupted: bool) -> Ended[RevocationResult]:
    """Return how a revocation ended."""
    outcome = _outcome(result, interrupted=interrupted)
    return Ended(result, outcome, counts_of(result), f"{outcome.value}, {result.dead} dead")


def subject_of(number: int) -> str:
    """Return what a revocation of so many tokens is about."""
    return counted(number, "token")


def _shown(plan: RevocationPlan) -> dict[str, Any]:
    """A plan as a second person sees it: what it does first, then all that the journal keeps of it."""
    does = [
        f"Revokes {subject_of(number)} at {name}, in {counted(plan.calls.get(name, 0), 'request')}."
        for name, number in sorted(plan.by_provider.items())
    ]
    left = [f"{one.ref} ({one.provider}), by hand: {one.how}" for one in plan.by_hand[:_LISTED]]
    return {"does": does, "does_not": left, "warnings": list(plan.warnings), **planned(plan)}


def counts_of(result: RevocationResult) -> dict[str, Any]:
    """Return what the journal keeps of what came of it."""
    not_dead = [str(token.ref) for token in result.tokens if token.proved is not Liveness.DEAD]
    return {
        "number": len(result.tokens),
        "accepted": sum(token.accepted for token in result.tokens),
        "proved": dict(Counter(token.proved.value for token in result.tokens)),
        "not_proved_dead": not_dead[:_LISTED],
        "by_hand": len(result.by_hand),
        "reason": result.stopped_by,
    }


def _outcome(result: RevocationResult, *, interrupted: bool) -> Outcome:
    if result.stopped_by:
        return Outcome.INTERRUPTED if interrupted else Outcome.FAILED
    done = all(token.accepted or token.proved is Liveness.DEAD for token in result.tokens)
    return Outcome.DONE if done else Outcome.FAILED
