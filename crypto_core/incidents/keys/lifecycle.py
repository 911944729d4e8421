"""Disabling, deleting, cancelling a deletion, enabling and replicating the key of an incident.

A multi-Region key is changed in each of its Regions: a replica that is left goes on opening the tokens. AWS
KMS Developer Guide, "Key states of AWS KMS keys" and "Deleting multi-Region keys".
"""

from __future__ import annotations

from collections.abc import Callable

from crypto_core.errors import KeyNotFoundError, KmsError, RefusedError
from crypto_core.incidents.keys.bundle import KeyAction, bundled
from crypto_core.incidents.keys.dependencies import KeyDependencies
from crypto_core.incidents.keys.subject import PENDING, entered, everywhere, old_key, unasked
from crypto_core.incidents.runbooks.catalogue import ActionKind
from crypto_core.incidents.steps.step_contracts import ActionPlan, InputField, Situation
from crypto_core.key_names import in_region
from crypto_core.keys.changes.change import DEFAULT_WINDOW_DAYS, ChangeKind, KeyChange
from crypto_core.keys.state import KeyState

DAYS, REGION, REPLICA = "days", "region", "replica"
_BACKUPS = (
    "Backups and dumps of the database may hold tokens under this key: after the deletion they can never be "
    "opened. Delete it only once the oldest backup from before the re-encryption is gone or no longer needed."
)


class ChangingState(KeyAction):
    """Brings the key into another state, in each of its Regions; where it is so already, nothing is done."""

    def __init__(
        self,
        services: KeyDependencies,
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

    def fields(self, situation: Situation) -> tuple[InputField, ...]:
        """Return the days that a deletion waits, where the step does not say."""
        if self._kind is not ChangeKind.SCHEDULE_DELETION or DAYS in situation.step.action_options:
            return ()
        return (InputField(DAYS, "Days until the key is deleted, 7 to 30", str(DEFAULT_WINDOW_DAYS)),)

    def plan_action(self, situation: Situation) -> ActionPlan:
        """Return what is changed in which Region. Raises RefusedError, KmsError."""
        states = list(everywhere(self._services.keys, old_key(situation)))
        name = states[0].name
        if self._replicas_first:
            states.sort(key=lambda state: not state.is_replica)
        days = self._days(situation) if self._kind is ChangeKind.SCHEDULE_DELETION else DEFAULT_WINDOW_DAYS
        plans, does = [], []
        for state in states:
            if "state" in state.missing:
                continue
            if self._applies(state):
                change = KeyChange(self._kind, key=state.key_arn, window_days=days)
                plans.append(self.plan_change(situation, change))
            else:
                does.append(f"{state.key_arn} is {state.state} and is left so.")
        warnings = [f"Left unchanged: {why}" for why in unasked(states)]
        if self._kind is ChangeKind.SCHEDULE_DELETION and plans:
            warnings.append(_BACKUPS)
        return bundled(
            plans[0].title if len(plans) == 1 else f"{self._words} {name}",
            plans,
            does=does,
            warnings=warnings,
        )

    def _days(self, situation: Situation) -> int:
        option = situation.step.action_options.get(DAYS)
        text = entered(situation, DAYS, str(option if option is not None else DEFAULT_WINDOW_DAYS))
        if not (text.isascii() and text.isdecimal()):
            raise RefusedError("A deletion waits 7 to 30 days.", remedy="Enter a number of days.")
        return int(text[:4])


class Replicating(KeyAction):
    """Makes a replica of a multi-Region key in another Region; becomes value `replica`."""

    def fields(self, situation: Situation) -> tuple[InputField, ...]:
        """Return the Region, where the step does not say."""
        if REGION in situation.step.action_options:
            return ()
        return (InputField(REGION, "AWS Region of the replica, such as eu-central-1"),)

    def plan_action(self, situation: Situation) -> ActionPlan:
        """Return what is made where. Raises RefusedError, KmsError."""
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


def lifecycle_actions(services: KeyDependencies) -> dict[ActionKind, ChangingState | Replicating]:
    """Return the actions by their kind."""
    return {
        ActionKind.DISABLE_KEY: ChangingState(
            services, ChangeKind.DISABLE, "Disable", lambda s: s.state not in ("Disabled", *PENDING)
        ),
        ActionKind.SCHEDULE_DELETION: ChangingState(
            services,
            ChangeKind.SCHEDULE_DELETION,
            "Schedule the deletion of",
            lambda s: s.state not in PENDING,
            replicas_first=True,
        ),
        ActionKind.CANCEL_DELETION: ChangingState(
            services, ChangeKind.CANCEL_DELETION, "Cancel the deletion of", lambda s: s.state in PENDING
        ),
        ActionKind.ENABLE_KEY: ChangingState(
            services, ChangeKind.ENABLE, "Enable", lambda s: s.state != "Enabled"
        ),
        ActionKind.REPLICATE_KEY: Replicating(services),
    }
