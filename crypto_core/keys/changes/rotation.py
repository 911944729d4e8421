"""Automatic rotation on and off, and rotation now.

AWS KMS Developer Guide, "Rotate AWS KMS keys"; API reference, EnableKeyRotation, DisableKeyRotation,
RotateKeyOnDemand.
"""

from __future__ import annotations

from crypto_core.errors import RefusedError
from crypto_core.keys.changes.change import DEFAULT_PERIOD_DAYS, ChangeKind, KeyChange
from crypto_core.keys.changes.plan import ChangePlan, Draft
from crypto_core.keys.changes.reading import KeyReader, every, ordinal_of_limit, typed_name
from crypto_core.keys.changes.recipe import CallRecorder, Readings, Recipe, of_key, require_state, send_each
from crypto_core.keys.state import ON_DEMAND_LIMIT, KeyState

AUTOMATIC = "automatic rotation"
ON_DEMAND = "rotations on demand"
MATERIAL = "current key material"
UNDER_WAY = "rotation under way"

_REENCRYPTS_NOTHING = "Re-encrypts nothing: tokens stay under the key material that sealed them."
_ENABLE_FIRST = "Enable the key first, or cancel its deletion."


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


def _draft_enable(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    _require_rotatable(state)
    require_state(state, "Enabled", remedy=_ENABLE_FIRST)
    now = reader.automatic_rotation(state)
    period = change.period_days or now.period_days or DEFAULT_PERIOD_DAYS
    same = now.period_days == period
    return Draft(
        title=f"Rotate {state.name} by itself, {every(period)}",
        seen={"state": str(state.state), AUTOMATIC: now.words},
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


def _act_enable(acting: CallRecorder, plan: ChangePlan) -> None:
    days = int(plan.expected[AUTOMATIC].split()[1].replace(",", ""))
    acting.call("EnableKeyRotation", KeyId=acting.key_id, RotationPeriodInDays=days)


def _draft_disable(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    _require_rotatable(state)
    require_state(state, "Enabled", remedy=_ENABLE_FIRST)
    now = reader.automatic_rotation(state)
    same = now.words == "off"
    return Draft(
        title=f"Stop rotating {state.name} by itself",
        seen={"state": str(state.state), AUTOMATIC: now.words},
        expected={AUTOMATIC: "off"},
        operations=() if same else ("DisableKeyRotation",),
        does=("KMS no longer makes new key material by itself. All material still opens tokens.",),
        does_not=("Does not prevent rotation on demand, and ends none that is under way.",),
    )


def _look_automatic(reader: KeyReader, plan: ChangePlan, key_arn: str) -> Readings:
    state = reader.keys.describe(key_arn)
    return {"state": str(state.state), AUTOMATIC: reader.automatic_rotation(state).words}


def _readings(reader: KeyReader, state: KeyState) -> dict[str, str]:
    used = reader.on_demand_rotations(state)
    return {
        "state": str(state.state),
        ON_DEMAND: ordinal_of_limit(used) if isinstance(used, int) else used,
        MATERIAL: state.current_material_id or "not told",
        UNDER_WAY: "yes" if reader.automatic_rotation(state).under_way else "no",
    }


def _used(reading: str) -> int | None:
    first = reading.split(" ", 1)[0]
    return int(first) if first.isdecimal() else None


def _draft_now(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    _require_rotatable(state, on_demand=True)
    require_state(state, "Enabled", remedy=_ENABLE_FIRST)
    seen = _readings(reader, state)
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
        expected[ON_DEMAND] = ordinal_of_limit(used + 1)
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


def _look_now(reader: KeyReader, plan: ChangePlan, key_arn: str) -> Readings:
    return _readings(reader, reader.keys.describe(key_arn))


def _has_rotated(plan: ChangePlan, now: Readings) -> bool:
    """KMS rotates in the background: begun is as good as done."""
    before, after = _used(plan.seen[ON_DEMAND]), _used(now[ON_DEMAND])
    if before is not None and after is not None and after > before:
        return True
    return now[UNDER_WAY] == "yes" or now[MATERIAL] != plan.seen[MATERIAL]


RECIPES = {
    ChangeKind.ENABLE_ROTATION: Recipe(of_key(_draft_enable), _act_enable, _look_automatic),
    ChangeKind.DISABLE_ROTATION: Recipe(of_key(_draft_disable), send_each, _look_automatic),
    ChangeKind.ROTATE: Recipe(of_key(_draft_now), send_each, _look_now, _has_rotated),
}
