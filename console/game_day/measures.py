"""Changes of keys as a scripted operator makes them: planned, agreed to, made and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.sandbox.endpoint import ACCOUNT
from crypto_core.errors import KeydeckError
from crypto_core.guard.consent import Consent, Danger, Subject
from crypto_core.keys.policy.least_privilege import Role
from crypto_core.text.counting import counted

if TYPE_CHECKING:
    from console.container import Container
    from crypto_core.keys.changes.change import KeyChange
    from crypto_core.keys.changes.plan import ChangeResult

ROLES = {
    Role.ADMINISTRATOR: (f"arn:aws:iam::{ACCOUNT}:role/keydeck-deployment",),
    Role.PLATFORM: (f"arn:aws:iam::{ACCOUNT}:role/keydeck-platform",),
    Role.RESPONDER: (f"arn:aws:iam::{ACCOUNT}:role/keydeck-oncall",),
}
"""Whom keys are for. The account as a whole is not among them: its IAM policies let the intruder in."""


class MeasureFailedError(KeydeckError):
    """A measure had not the effect that it must have."""


def agreed(plan: Subject) -> Consent:
    """Return a consent to a plan, in the way that its danger demands."""
    return Consent.typed(plan, plan.confirmation) if plan.danger is Danger.TYPED else Consent.pressed(plan)


def change_key(container: Container, change: KeyChange, losing: int | None = None) -> ChangeResult:
    """Plan a change, agree to it, make it and read it back. Raises KeydeckError.

    With `losing` it costs so many tokens at most.
    """
    plan = container.services.key_changes.plan_change(change)
    lost = plan.tokens.at_most_known if plan.tokens is not None else 0
    if losing is not None and lost > losing:
        raise MeasureFailedError(f"{plan.title}: {counted(lost, 'token')} would be lost.")
    result = container.services.key_changes.make_change(plan, agreed(plan))
    if not result.verified:
        why = result.stopped_by or result.unverified or "its effect could not be confirmed"
        raise MeasureFailedError(f"{plan.title}: {why}")
    return result
