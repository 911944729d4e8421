"""Disabling, deleting, cancelling a deletion, enabling and replicating the key of an incident.

Before it is disabled or its deletion is scheduled, every token under the keys that replace it is opened.

A multi-Region key is changed in each of its Regions: a replica that is left goes on opening the tokens. AWS
KMS Developer Guide, "Key states of AWS KMS keys" and "Deleting multi-Region keys".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from crypto_core.guard.consent import Origin
from crypto_core.incidents.keys.bundle import KeyAction, agreed, bundled
from crypto_core.incidents.keys.replacements import ReplacementOpener
from crypto_core.incidents.keys.subject import entered, everywhere, old_key, said, unasked
from crypto_core.incidents.runbooks.catalogue import ActionKind
from crypto_core.incidents.steps.step_contracts import (
    ActionPlan,
    ActionResult,
    InputField,
    Progress,
    Situation,
)
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.keys.changes.change import DEFAULT_WINDOW_DAYS, ChangeKind, KeyChange
from crypto_core.keys.changes.plan import UNCOUNTED, ChangePlan
from crypto_core.keys.state import PENDING_DELETION, KeyState
from crypto_core.values.counts import counted
from crypto_core.values.errors import KeydeckError, KeyNotFoundError, KmsError, RefusedError
from crypto_core.values.key_names import in_region

DAYS, REGION, REPLICA = "days", "region", "replica"
UNOPENED = "unopened"
"""The value that has how many tokens did not open the last time, and the input that decides about them."""
GIVE_UP = "give-up"
_TAKES_AWAY = (ChangeKind.DISABLE, ChangeKind.SCHEDULE_DELETION)
_BACKUPS = (
    "Backups and dumps of the database may hold tokens under this key: after the deletion they can never be "
    "opened. Delete it only once the oldest backup from before the re-encryption is gone or no longer needed."
)


class ChangingState(KeyAction):
    """Brings the key into another state, in each of its Regions; where it is so already, nothing is done."""

    def __init__(
        self,
        services: ToolServices,
        kind: ChangeKind,
        words: str,
        applies: Callable[[KeyState], bool],
        *,
        replicas_first: bool = False,
    ) -> None:
        """`applies` selects the keys to change."""
        super().__init__(services)
        self._kind = kind
        self._words = words
        self._applies = applies
        self._replicas_first = replicas_first
        self._replacements = ReplacementOpener(services) if kind in _TAKES_AWAY else None

    def fields(self, situation: Situation) -> tuple[InputField, ...]:
        """Return the days that a deletion waits, where the step does not say.

        Where tokens under the new key did not open the last time, also whether these are given up.
        """
        fields = []
        if self._kind is ChangeKind.SCHEDULE_DELETION and DAYS not in situation.step.action_options:
            fields.append(
                InputField(DAYS, "Days until the key is deleted, 7 to 30", str(DEFAULT_WINDOW_DAYS))
            )
        if unopened := self._unopened(situation):
            fields.append(
                InputField(
                    UNOPENED,
                    f"{_tokens(unopened)} under the new key did not open the last time",
                    choices=(
                        ("again", "Have KMS open all again; the key is left as it is unless all open"),
                        (GIVE_UP, "Give up what does not open: it is typed how many"),
                    ),
                )
            )
        return tuple(fields)

    def plan_action(self, situation: Situation) -> ActionPlan:
        """Return what is changed in which Region. Raises RefusedError, KmsError."""
        states = list(everywhere(self._services.keys, old_key(situation)))
        name = states[0].name
        if self._replicas_first:
            states.sort(key=lambda state: not state.is_replica)
        days = self._days(situation) if self._kind is ChangeKind.SCHEDULE_DELETION else DEFAULT_WINDOW_DAYS
        given_up = self._unopened(situation) if entered(situation, UNOPENED) == GIVE_UP else ""
        plans, does = [], []
        for state in states:
            if "state" in state.missing:
                continue
            if self._applies(state):
                change = KeyChange(self._kind, key=state.key_arn, window_days=days, unopened=given_up)
                plan = self.plan_change(situation, change)
                if self._kind in _TAKES_AWAY:
                    _must_hold_nothing(situation, plan)
                plans.append(plan)
            else:
                does.append(f"{state.key_arn} is {state.state} and is left so.")
        warnings = [f"Left unchanged: {why}" for why in unasked(states)]
        if self._kind is ChangeKind.SCHEDULE_DELETION and plans:
            warnings.append(_BACKUPS)
        if self._replacements is not None and plans:
            does.insert(0, self._opens(situation, self._replacements, plans[0]))
        if given_up:
            warnings.append(f"{_tokens(given_up)} under the new key may not open, and are given up.")
        return bundled(
            plans[0].title if len(plans) == 1 else f"{self._words} {name}",
            plans,
            does=does,
            warnings=warnings,
            also_lost=given_up if plans else "",
        )

    def run_action(
        self, situation: Situation, plan: ActionPlan, consent: Any, progress: Progress | None = None
    ) -> ActionResult:
        """Change the key's state, once every token under the keys that replace it was opened.

        Where one does not open, nothing is changed, and the result says how to go on. See IncidentAction.
        """
        given = agreed(self._services.changes, plan, consent)
        changes = plan.inner.plans
        refused = given.origin is not Origin.TYPED and any(one.refused_unless_typed for one in changes)
        if self._replacements is None or not changes or refused:
            return super().run_action(situation, plan, consent, progress)
        opening = self._replacements.open_replacements(situation, progress)
        given_up = changes[0].change.unopened if given.origin is Origin.TYPED else ""
        if opening.unopened not in ("", given_up):
            lines = (*opening.lines, *opening.remedy)
            return ActionResult(False, said(lines, 80), {UNOPENED: opening.unopened}, opening.evidence)
        result = super().run_action(situation, plan, consent, progress)
        return replace(
            result,
            lines=said((*opening.lines, *result.lines), 80),
            values={**result.values, UNOPENED: ""},
            evidence=(*opening.evidence, *result.evidence),
        )

    def _opens(self, situation: Situation, replacements: ReplacementOpener, plan: ChangePlan) -> str:
        try:
            found = replacements.find_replacements(situation)
        except KeydeckError as error:
            return f"First has KMS open every token under the new key, once that can be read: {error}"
        if not found.keys:
            return "This incident has moved no token to another key: none is opened first."
        proof = plan.tokens.proof if plan.tokens is not None else None
        number = f" ({sum(map(proof.tokens_under, found.keys)):,} now)" if proof is not None else ""
        return f"First has KMS open every token under {found}{number}; it goes on only if all open."

    def _unopened(self, situation: Situation) -> str:
        """How many tokens did not open the last time, as it is typed; "" where none is known of."""
        if self._replacements is None:
            return ""
        known = situation.incident.values.get(UNOPENED, "")
        return known if known == UNCOUNTED or (known.isascii() and known.isdecimal()) else ""

    def _days(self, situation: Situation) -> int:
        option = situation.step.action_options.get(DAYS)
        text = entered(situation, DAYS, str(option if option is not None else DEFAULT_WINDOW_DAYS))
        if not (text.isascii() and text.isdecimal()):
            raise RefusedError("A deletion waits 7 to 30 days.", remedy="Enter a number of days.")
        return int(text[:4])


def _must_hold_nothing(situation: Situation, plan: ChangePlan) -> None:
    """Raise RefusedError if tokens are under the key: the runbook moves them first, whatever is typed.

    Tokens whose key is not known do not count here: taking the key away asks for their number.
    """
    tokens = plan.tokens
    if tokens is None or not tokens.under:
        return
    verb = "disable" if plan.change.kind is ChangeKind.DISABLE else "schedule-deletion"
    raise RefusedError(
        f"{counted(tokens.under, 'token')} under {plan.key_name}: nobody could open them any more.",
        remedy=(
            "Take up the step that re-encrypts them again, or accept what opens for nobody: keydeck incident "
            f"accept-lost {situation.incident.id} --reason TEXT. To take the key away all the same: keydeck "
            f"keys {verb} {plan.key_arn}."
        ),
    )


def _tokens(unopened: str) -> str:
    return "Not all tokens" if unopened == UNCOUNTED else counted(int(unopened), "token")


class Replicating(KeyAction):
    """Makes a replica of a multi-Region key in another Region; becomes value `replica`."""

    def fields(self, situation: Situation) -> tuple[InputField, ...]:
        """Return the Region, where the step does not say."""
        if REGION in situation.step.action_options:
            return ()
        return (InputField(REGION, "AWS Region of the replica, such as eu-central-1"),)

    def plan_action(self, situation: Situation) -> ActionPlan:
        region = entered(situation, REGION, str(situation.step.action_options.get(REGION, "")))
        key = self._primary(situation)
        wanted = in_region(key.key_arn, region) if region else ""
        if wanted and wanted in (key.key_arn, *key.replica_arns):
            words = f"{wanted} already exists."
            values = ((REPLICA, wanted),)
            return bundled(
                f"Replicate {key.name} to {region}", (), does=(words,), values=values, told=(wanted,)
            )
        inner = self.plan_change(situation, KeyChange(ChangeKind.REPLICATE, key=key.key_arn, region=region))
        return bundled(inner.title, (inner,), values=((REPLICA, wanted),))

    def _primary(self, situation: Situation) -> KeyState:
        key = self._services.keys.describe(old_key(situation))
        if not key.is_replica or key.primary_arn is None:
            return key
        try:
            return self._services.keys.describe(key.primary_arn)
        except KeyNotFoundError:
            raise
        except KmsError as error:
            raise RefusedError(
                f"Only a primary key is replicated, and {key.primary_arn} can't be asked: {error.message}",
                remedy=(
                    f"Make {key.key_arn} the primary while its Region answers: aws kms "
                    "update-primary-region. Keydeck does not do that."
                ),
            ) from error


def lifecycle_actions(services: ToolServices) -> dict[ActionKind, ChangingState | Replicating]:
    return {
        ActionKind.DISABLE_KEY: ChangingState(
            services, ChangeKind.DISABLE, "Disable", lambda s: s.state not in ("Disabled", *PENDING_DELETION)
        ),
        ActionKind.SCHEDULE_DELETION: ChangingState(
            services,
            ChangeKind.SCHEDULE_DELETION,
            "Schedule the deletion of",
            lambda s: s.state not in PENDING_DELETION,
            replicas_first=True,
        ),
        ActionKind.CANCEL_DELETION: ChangingState(
            services,
            ChangeKind.CANCEL_DELETION,
            "Cancel the deletion of",
            lambda s: s.state in PENDING_DELETION,
        ),
        ActionKind.ENABLE_KEY: ChangingState(
            services, ChangeKind.ENABLE, "Enable", lambda s: s.state != "Enabled"
        ),
        ActionKind.REPLICATE_KEY: Replicating(services),
    }
