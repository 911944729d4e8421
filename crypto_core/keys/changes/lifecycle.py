"""A key's states: enabled, disabled, waiting for deletion.

AWS KMS Developer Guide, "Key states of AWS KMS keys", "Delete an AWS KMS key" and "Deleting multi-Region
keys".
"""

from __future__ import annotations

from collections.abc import Sequence

from crypto_core.errors import RefusedError
from crypto_core.guard.approval_digest import COUNTED_BY
from crypto_core.key_names import region_of
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import ChangePlan, Draft, TokensAtRisk
from crypto_core.keys.changes.reading import TOKENS, KeyReader, typed_name
from crypto_core.keys.changes.recipe import CallRecorder, Readings, Recipe, of_key, require_state, send_each
from crypto_core.keys.state import PENDING_DELETION, KeyState
from crypto_core.text.counting import counted

STATE = "state"
DELETED_ON = "deleted on"


def _look(reader: KeyReader, plan: ChangePlan, key_arn: str) -> Readings:
    return {STATE: reader.state_of(key_arn)}


def _look_at_deletion(reader: KeyReader, plan: ChangePlan, key_arn: str) -> Readings:
    return {STATE: reader.state_of(key_arn), DELETED_ON: reader.deletion_date(key_arn)}


def _draft_enable(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    require_state(state, "Disabled", "Enabled", remedy=f"Cancel a deletion first: {_cancel(state)}.")
    same = state.state == "Enabled"
    return Draft(
        title=f"Enable {state.name}",
        seen={STATE: str(state.state)},
        expected={STATE: "Enabled"},
        operations=() if same else ("EnableKey",),
        does=("The key wraps and opens data keys again, for everyone whom its policy and grants let.",),
        does_not=("Does not change who may use it.",),
    )


def _draft_cancel(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    require_state(state, *PENDING_DELETION, remedy="There is no deletion to cancel.")
    return Draft(
        title=f"Cancel the deletion of {state.name}",
        seen={STATE: str(state.state), DELETED_ON: reader.deletion_date(state.key_arn)},
        expected={STATE: "Disabled", DELETED_ON: "no"},
        operations=("CancelKeyDeletion",),
        does=("The key is not deleted. It is Disabled afterwards, whatever it was before.",),
        does_not=(f"Does not enable it: no token opens until it is. Then: {_enable(state)}.",),
    )


def _after_cancel(plan: ChangePlan, key_arn: str, done: Sequence[str]) -> tuple[str, ...]:
    return (f"The key stays Disabled until it is enabled: keydeck keys enable {key_arn}",) if done else ()


def _draft_disable(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    require_state(state, "Enabled", "Disabled", remedy=f"Cancel a deletion first: {_cancel(state)}.")
    if state.state == "Disabled":
        return _taking(reader, state, f"Disable {state.name}", "Disabled", "", None)
    return _taking(
        reader,
        state,
        f"Disable {state.name}",
        "Disabled",
        "DisableKey",
        reader.tokens(state),
        does=("The key can't wrap or open data keys until it is enabled again.",),
        does_not=(
            f"Deletes nothing. Undo it with: {_enable(state)}.",
            "Does not affect data keys that were already opened.",
        ),
    )


def _draft_schedule(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    if state.state in PENDING_DELETION:
        raise RefusedError(
            f"{state.name} is {state.state} already: its deletion date is "
            f"{reader.deletion_date(state.key_arn)}.",
            remedy=f"For another date, cancel it first: {_cancel(state)}.",
        )
    days = counted(change.window_days, "day")
    replicas = [region_of(arn) or arn for arn in state.replica_arns] if not state.is_replica else []
    waits: tuple[str, ...] = ()
    pending = "PendingDeletion"
    if replicas:
        pending = "PendingReplicaDeletion"
        waits = (
            (
                f"The key is the primary of replicas in {', '.join(replicas)}: it becomes "
                f"PendingReplicaDeletion, and its {days} only begin once they are deleted. The replicas are "
                "not scheduled with it, and still open its tokens."
            ),
        )
    return _taking(
        reader,
        state,
        f"Delete {state.name} in {days}",
        pending,
        "ScheduleKeyDeletion",
        reader.tokens(state),
        does=(
            "The key can't be used from now on, as if it were disabled.",
            f"After {days} KMS deletes it with all its material, for ever. Till then: {_cancel(state)}.",
            *waits,
        ),
        does_not=(
            "Does not delete what it wrapped, in the database or in backups: that can never be opened again.",
            "Does not free its aliases before it is deleted.",
        ),
    )


def _act_schedule(acting: CallRecorder, plan: ChangePlan) -> None:
    acting.call("ScheduleKeyDeletion", KeyId=acting.key_id, PendingWindowInDays=plan.change.window_days)


def _taking(
    reader: KeyReader,
    state: KeyState,
    title: str,
    becomes: str,
    operation: str,
    tokens: TokensAtRisk | None,
    *,
    does: tuple[str, ...] = (),
    does_not: tuple[str, ...] = (),
) -> Draft:
    """The draft of a change that takes the key away from the tokens under it."""
    seen = {STATE: str(state.state)}
    if tokens is not None:
        seen[TOKENS] = str(tokens)
        does = (*does, *([f"{COUNTED_BY}{tokens.proof}."] if tokens.proof else []))
    return Draft(
        title=title,
        seen=seen,
        expected={STATE: becomes},
        operations=(operation,) if operation else (),
        confirmation=(tokens.confirmation if tokens else "") or typed_name(state),
        does=does,
        does_not=does_not,
        warnings=_warnings(reader, state, tokens),
        tokens=tokens,
    )


def _warnings(reader: KeyReader, state: KeyState, tokens: TokensAtRisk | None) -> tuple[str, ...]:
    if tokens is None:
        return ()
    found = list(tokens.warnings)
    if reader.writes_under(state):
        found.append("New tokens are written under this key: nothing can be sealed without it.")
    others = [a for a in dict.fromkeys((state.primary_arn, *state.replica_arns)) if a and a != state.key_arn]
    if others:
        regions = ", ".join(region_of(arn) or arn for arn in others)
        found.append(
            f"The key is multi-Region: only {state.region} is changed. In {regions} it goes on opening the "
            "tokens, for whoever asks there."
        )
    return tuple(found)


def _enable(state: KeyState) -> str:
    return f"keydeck keys enable {typed_name(state)}"


def _cancel(state: KeyState) -> str:
    return f"keydeck keys cancel-deletion {typed_name(state)}"


RECIPES = {
    ChangeKind.ENABLE: Recipe(of_key(_draft_enable), send_each, _look),
    ChangeKind.DISABLE: Recipe(of_key(_draft_disable), send_each, _look),
    ChangeKind.SCHEDULE_DELETION: Recipe(of_key(_draft_schedule), _act_schedule, _look_at_deletion),
    ChangeKind.CANCEL_DELETION: Recipe(
        of_key(_draft_cancel), send_each, _look_at_deletion, follow=_after_cancel
    ),
}
