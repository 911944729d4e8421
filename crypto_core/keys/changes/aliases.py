"""Pointing an alias at a key. API reference, CreateAlias and UpdateAlias; Developer Guide, "Aliases"."""

from __future__ import annotations

from crypto_core.errors import RefusedError
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import ChangePlan, Draft
from crypto_core.keys.changes.reading import KeyReader
from crypto_core.keys.changes.recipe import CallRecorder, Readings, Recipe, of_key
from crypto_core.keys.state import PENDING_DELETION, KeyState

NO_KEY = "no such alias"


def _draft(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    alias = change.alias_name
    if state.state in PENDING_DELETION:
        raise RefusedError(f"{state.name} is {state.state}: no alias can be pointed at it.")
    present = reader.alias_target(alias, state.key_arn)
    same = present == state.key_arn
    moves = present is not None and not same
    warnings = []
    if state.state != "Enabled":
        warnings.append(f"The key is {state.state}: calls with {alias} are refused until it is enabled.")
    if reader.writes_by(alias) and not same:
        warnings.append(
            f"{alias} is the key to write under: new tokens go under {state.key_arn} from then on. See that "
            "the platform may use it before: keydeck keys policy KEY --explain."
        )
    does = [f"{alias} means {state.key_arn} from then on, in {state.region} alone."]
    if moves:
        does.append("A platform that writes by the alias seals new tokens under the new key.")
    does_not = ["Moves no token, and re-encrypts nothing."]
    if moves:
        does_not.append(f"{present} is still needed for the tokens under it.")
    return Draft(
        title=f"Point {alias} at {state.key_arn}",
        seen={alias: present or NO_KEY, "state": str(state.state)},
        expected={alias: state.key_arn},
        operations=() if same else ("UpdateAlias" if moves else "CreateAlias",),
        typed=moves,
        confirmation=alias,
        does=tuple(does),
        does_not=tuple(does_not),
        warnings=tuple(warnings),
    )


def _act(acting: CallRecorder, plan: ChangePlan) -> None:
    (operation,) = plan.operations
    acting.call(operation, AliasName=plan.change.alias_name, TargetKeyId=acting.key_id)


def _look(reader: KeyReader, plan: ChangePlan, key_arn: str) -> Readings:
    alias = plan.change.alias_name
    return {alias: reader.alias_target(alias, key_arn) or NO_KEY, "state": reader.state_of(key_arn)}


RECIPES = {
    ChangeKind.POINT_ALIAS: Recipe(of_key(_draft), _act, _look),
}
