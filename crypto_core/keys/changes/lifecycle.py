"""A key's states and its material: enabled, disabled, waiting for deletion; rotated by itself, or now.

AWS KMS Developer Guide, "Key states of AWS KMS keys", "Delete an AWS KMS key", "Deleting multi-Region keys"
and "Rotate AWS KMS keys"; API reference, EnableKeyRotation, DisableKeyRotation, RotateKeyOnDemand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crypto_core.guard.approvals import COUNTED_BY
from crypto_core.keys.changes.change import DEFAULT_PERIOD_DAYS, ChangeKind, KeyChange
from crypto_core.keys.changes.key_reader import TOKENS, KeyReader, every, typed_name
from crypto_core.keys.changes.plan import ChangePlan, Draft, TokensAtRisk
from crypto_core.keys.changes.recipe import Readings, of_key, require_state
from crypto_core.keys.state import ON_DEMAND_LIMIT, PENDING_DELETION, KeyState
from crypto_core.values.counts import counted
from crypto_core.values.errors import RefusedError
from crypto_core.values.key_names import region_of

STATE = "state"
DELETED_ON = "deleted on"
AUTOMATIC = "automatic rotation"
ON_DEMAND = "rotations on demand"
MATERIAL = "current key material"
UNDER_WAY = "rotation under way"

_REENCRYPTS_NOTHING = "Re-encrypts nothing: tokens stay under the key material that sealed them."
_ENABLE_FIRST = "Enable the key first, or cancel its deletion."


def _read_state(reader: KeyReader, change: KeyChange, state: KeyState) -> dict[str, str]:
    return {STATE: str(state.state)}


def _read_deletion(reader: KeyReader, change: KeyChange, state: KeyState) -> dict[str, str]:
    return {STATE: str(state.state), DELETED_ON: _deletion_date(state)}


def _deletion_date(state: KeyState) -> str:
    if state.deletion_at:
        return f"{state.deletion_at:%Y-%m-%d %H:%M %Z}".strip()
    return "once its replicas are deleted" if state.state == "PendingReplicaDeletion" else "no"


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
        seen=_read_deletion(reader, change, state),
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
        return _taking(reader, state, f"Disable {state.name}", "Disabled", "")
    return _taking(
        reader,
        state,
        f"Disable {state.name}",
        "Disabled",
        "DisableKey",
        does=("The key can't wrap or open data keys until it is enabled again.",),
        does_not=(
            f"Deletes nothing. Undo it with: {_enable(state)}.",
            "Does not affect data keys that were already opened.",
        ),
    )


def _draft_schedule(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    if state.state in PENDING_DELETION:
        raise RefusedError(
            f"{state.name} is {state.state} already: its deletion date is {_deletion_date(state)}.",
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


def _after_days(plan: ChangePlan, key_id: str) -> dict[str, Any]:
    return {"KeyId": key_id, "PendingWindowInDays": plan.change.window_days}


def _taking(
    reader: KeyReader,
    state: KeyState,
    title: str,
    becomes: str,
    operation: str,
    *,
    does: tuple[str, ...] = (),
    does_not: tuple[str, ...] = (),
) -> Draft:
    seen = {STATE: str(state.state)}
    untold = reader.require_list_elsewhere(state) if operation else ()
    tokens = reader.tokens(state) if operation else None
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
        warnings=(*_warnings(reader, state, tokens), *untold),
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


def _require_rotatable(state: KeyState, *, on_demand: bool = False) -> None:
    if state.is_replica:
        raise RefusedError(
            f"{state.name} is a replica: it rotates with its primary key.",
            remedy=f"Name the primary: {state.primary_arn}.",
        )
    imported = on_demand and state.origin == "EXTERNAL" and state.spec == "SYMMETRIC_DEFAULT"
    if not state.rotatable and not imported:
        raise RefusedError(
            f"KMS can't rotate {state.name}: its spec is {state.spec}, its material comes from "
            f"{state.origin}. Only symmetric keys with material of KMS's own rotate.",
            remedy="Make a new key, re-encrypt the tokens under it, and point the alias at it.",
        )


def _draft_enable_rotation(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    _require_rotatable(state)
    require_state(state, "Enabled", remedy=_ENABLE_FIRST)
    now = reader.automatic_rotation(state)
    period = change.period_days or now.period_days or DEFAULT_PERIOD_DAYS
    same = now.period_days == period
    return Draft(
        title=f"Rotate {state.name} by itself, {every(period)}",
        seen={STATE: str(state.state), AUTOMATIC: now.words},
        expected={AUTOMATIC: every(period)},
        operations=() if same else ("EnableKeyRotation",),
        does=(
            (
                f"KMS makes new key material {every(period)}, counted from now, and wraps new data keys with "
                "the newest. Older material still opens what it wrapped."
            ),
        ),
        does_not=(
            _REENCRYPTS_NOTHING,
            "Does not help after a data key or the key itself is compromised: re-encrypt for that.",
        ),
        warnings=("The first two rotations each raise the key's monthly price.",) if not same else (),
    )


def _every_so_often(plan: ChangePlan, key_id: str) -> dict[str, Any]:
    days = int(plan.expected[AUTOMATIC].split()[1].replace(",", ""))
    return {"KeyId": key_id, "RotationPeriodInDays": days}


def _draft_disable_rotation(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    _require_rotatable(state)
    require_state(state, "Enabled", remedy=_ENABLE_FIRST)
    now = reader.automatic_rotation(state)
    same = now.words == "off"
    return Draft(
        title=f"Stop rotating {state.name} by itself",
        seen={STATE: str(state.state), AUTOMATIC: now.words},
        expected={AUTOMATIC: "off"},
        operations=() if same else ("DisableKeyRotation",),
        does=("KMS no longer makes new key material by itself. All material still opens tokens.",),
        does_not=("Does not prevent rotation on demand, and ends none that is under way.",),
    )


def _read_automatic(reader: KeyReader, change: KeyChange, state: KeyState) -> dict[str, str]:
    return {STATE: str(state.state), AUTOMATIC: reader.automatic_rotation(state).words}


def _read_rotations(reader: KeyReader, change: KeyChange, state: KeyState) -> dict[str, str]:
    used = reader.on_demand_rotations(state)
    return {
        STATE: str(state.state),
        ON_DEMAND: f"{used} of {ON_DEMAND_LIMIT}" if isinstance(used, int) else used,
        MATERIAL: state.current_material_id or "not told",
        UNDER_WAY: "yes" if reader.automatic_rotation(state).under_way else "no",
    }


def _used(reading: str) -> int | None:
    first = reading.split(" ", 1)[0]
    return int(first) if first.isdecimal() else None


def _draft_rotate(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    _require_rotatable(state, on_demand=True)
    require_state(state, "Enabled", remedy=_ENABLE_FIRST)
    seen = _read_rotations(reader, change, state)
    used = _used(seen[ON_DEMAND])
    if used is not None and used >= ON_DEMAND_LIMIT:
        raise RefusedError(
            f"{state.name} has had its {ON_DEMAND_LIMIT} rotations on demand; KMS gives a key no more.",
            remedy="Make a new key and re-encrypt the tokens under it.",
        )
    if seen[UNDER_WAY] == "yes":
        raise RefusedError(
            f"A rotation of {state.name} is under way.", remedy="Wait until it is done, then try again."
        )
    expected = {}
    warnings = []
    if used is None:
        warnings.append(
            f"How many of its {ON_DEMAND_LIMIT} rotations on demand the key has had is {seen[ON_DEMAND]}."
        )
    else:
        expected[ON_DEMAND] = f"{used + 1} of {ON_DEMAND_LIMIT}"
    if state.origin == "EXTERNAL":
        warnings.append("The key's material is imported: the new material has to be imported before.")
    number = f"{used + 1} " if used is not None else "one "
    return Draft(
        title=f"Rotate {state.name} now",
        seen=seen,
        expected=expected,
        operations=("RotateKeyOnDemand",),
        confirmation=typed_name(state),
        does=(
            (
                "KMS makes new key material and wraps new data keys with it. Older material still opens "
                "what it wrapped."
            ),
            f"Uses rotation {number}of {ON_DEMAND_LIMIT}, for ever: there is no way back.",
        ),
        does_not=(
            _REENCRYPTS_NOTHING,
            (
                "Does not help after a data key or the key itself is compromised: re-encrypt under another "
                "key for that."
            ),
            "Does not change the schedule of automatic rotation.",
        ),
        warnings=tuple(warnings),
    )


def _has_rotated(plan: ChangePlan, now: Readings) -> bool:
    """KMS rotates in the background: begun is as good as done."""
    before, after = _used(plan.seen[ON_DEMAND]), _used(now[ON_DEMAND])
    if before is not None and after is not None and after > before:
        return True
    return now[UNDER_WAY] == "yes" or now[MATERIAL] != plan.seen[MATERIAL]


RECIPES = {
    ChangeKind.ENABLE: of_key(_draft_enable, _read_state),
    ChangeKind.DISABLE: of_key(_draft_disable, _read_state),
    ChangeKind.SCHEDULE_DELETION: of_key(_draft_schedule, _read_deletion, _after_days),
    ChangeKind.CANCEL_DELETION: of_key(_draft_cancel, _read_deletion, follow=_after_cancel),
    ChangeKind.ENABLE_ROTATION: of_key(_draft_enable_rotation, _read_automatic, _every_so_often),
    ChangeKind.DISABLE_ROTATION: of_key(_draft_disable_rotation, _read_automatic),
    ChangeKind.ROTATE: of_key(_draft_rotate, _read_rotations, there=_has_rotated),
}
