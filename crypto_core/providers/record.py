"""What the journal and the log hold of revocations: counts, references and hosts, never a token."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from uuid import uuid4

from crypto_core.database.state.journal import Journal
from crypto_core.guard.consent import Consent
from crypto_core.guard.guard import Guard
from crypto_core.guard.outcome import Outcome
from crypto_core.providers.answers import Liveness, RevocationPlan, RevocationResult
from crypto_core.text.cleaning import clean
from crypto_core.text.counting import counted

_log = logging.getLogger(__name__)

ACTION = "revoke tokens"
_LISTED = 1_000
"""References that one entry names; it always has their number."""


class RevocationRecord:
    """Journals revocations from the dry run to the end."""

    def __init__(self, journal: Journal, guard: Guard) -> None:
        self._journal = journal
        self._guard = guard

    def planned(self, plan: RevocationPlan) -> str:
        """Journal a dry run; returns why it could not be, "" if it was."""
        shown = {"plan": plan.digest, **_told(plan)}
        return self._guard.dry_run(ACTION, subject_of(len(plan.tokens)), shown)

    def planning(self, number: int) -> AbstractContextManager[None]:
        """Journal what ends the planning of a revocation of so many tokens."""
        return self._guard.recording(ACTION, subject_of(number), {"plan": None})

    def agreed(self, plan: RevocationPlan, consent: Consent | None, still: Callable[[], None]) -> Consent:
        """Return the consent to a plan, as Guard.agreed does."""
        subject = subject_of(len(plan.tokens))
        names = ", ".join(sorted(plan.by_provider))
        return self._guard.agreed(
            plan,
            consent,
            action=ACTION,
            subject=subject,
            summary=clean(f"Revoke {subject} at {names}", 300),
            shown=_shown(plan),
            still=still,
            alone=not plan.tokens,
        )

    def started(self, plan: RevocationPlan, consent: Consent) -> str:
        """Journal the beginning, before anything is sent; returns the run's id. Raises DatabaseError."""
        run_id = str(uuid4())
        begun = {"run": run_id, "plan": plan.digest, "consent": consent.origin.value, **_told(plan)}
        self._journal.record(ACTION, subject_of(len(plan.tokens)), Outcome.STARTED, begun)
        _log.info("Begins to revoke %s.", subject_of(len(plan.tokens)))
        return run_id

    def ended(self, run_id: str, plan: RevocationPlan, result: RevocationResult, *, interrupted: bool) -> str:
        """Journal the end; returns why it could not be, "" if it was."""
        outcome = _outcome(result, interrupted=interrupted)
        told = {"run": run_id, "run_ended": True, "plan": plan.digest, **_counted(result)}
        subject = subject_of(len(plan.tokens))
        _log.info("Ended to revoke %s: %s, %d dead.", subject, outcome.value, result.dead)
        return self._guard.try_to_record(ACTION, subject, outcome, told)


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
    return {"does": does, "does_not": left, "warnings": list(plan.warnings), **_told(plan)}


def _told(plan: RevocationPlan) -> dict[str, Any]:
    return {
        "tokens": [str(ref) for ref in plan.tokens[:_LISTED]],
        "number": len(plan.tokens),
        "by_provider": dict(plan.by_provider),
        "calls": dict(plan.calls),
        "by_hand": len(plan.by_hand),
        "endpoints": list(plan.endpoints),
    }


def _counted(result: RevocationResult) -> dict[str, Any]:
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
