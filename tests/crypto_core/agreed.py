"""Consent of a test to what it has planned."""

from __future__ import annotations

from crypto_core.guard.consent import Consent, Danger, Subject


def agreed(plan: Subject) -> Consent:
    """The consent that a plan demands."""
    typed = plan.danger is Danger.TYPED
    return Consent.typed(plan, plan.confirmation) if typed else Consent.pressed(plan)
