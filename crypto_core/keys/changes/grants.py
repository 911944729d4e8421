"""Revoking and retiring grants. AWS KMS Developer Guide, "Retiring and revoking grants"."""

from __future__ import annotations

from crypto_core.errors import RefusedError
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import ChangePlan, Draft
from crypto_core.keys.changes.reading import KeyReader, typed_name
from crypto_core.keys.changes.recipe import CallRecorder, Readings, Recipe, of_key
from crypto_core.keys.grants import Grant, read_grants
from crypto_core.keys.policy.actions import in_words
from crypto_core.keys.state import KeyState

GRANT = "grant"
GONE = "gone"


def describe(grant: Grant) -> str:
    constrained = " with a certain encryption context" if grant.constraints else ""
    named = f" ({grant.name})" if grant.name else ""
    return f"{grant.grantee.name} may {in_words(grant.operations)}{constrained}{named}"


def _draft(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    grants: dict[str, Grant] = {g.grant_id: g for g in read_grants(reader.kms, state.region, state.key_arn)}
    grant = grants.get(change.grant_id)
    if grant is None:
        raise RefusedError(
            f"{state.name} has no grant {change.grant_id}.",
            remedy=f"List them with: keydeck keys grants {typed_name(state)}.",
        )
    retires = change.kind is ChangeKind.RETIRE_GRANT
    warnings = []
    lost = [o for o in grant.operations if o in ("Decrypt", "ReEncryptFrom", "GenerateDataKey")]
    if lost:
        warnings.append(
            f"{grant.grantee.name} loses {' and '.join(lost)}: if it is the platform, or a service that it "
            "uses, tokens under this key no longer open or are no longer written there."
        )
    if retires:
        by = grant.retiring.name if grant.retiring else "nobody by name"
        itself = " and the grantee" if "RetireGrant" in grant.operations else ""
        warnings.append(
            f"May be retired by: {by}{itself}, and by principals that the account allows "
            "kms:RetireGrant. If KMS refuses, revoke it."
        )
    return Draft(
        title=f"{'Retire' if retires else 'Revoke'} a grant on {state.name}",
        seen={GRANT: describe(grant)},
        expected={GRANT: GONE},
        operations=("RetireGrant" if retires else "RevokeGrant",),
        confirmation=typed_name(state),
        does=(
            (
                f"{describe(grant)}: no longer by this grant. It can take KMS five minutes until that holds "
                "everywhere."
            ),
            "Only another grant can bring it back.",
        ),
        does_not=(
            "Does not take away what the key's policy or another grant allows.",
            "Does not affect data keys that were opened through it.",
        ),
        warnings=tuple(warnings),
    )


def _act(acting: CallRecorder, plan: ChangePlan) -> None:
    (operation,) = plan.operations
    acting.call(operation, KeyId=acting.key_id, GrantId=plan.change.grant_id)


def _look(reader: KeyReader, plan: ChangePlan, key_arn: str) -> Readings:
    for grant in read_grants(reader.kms, plan.region, key_arn):
        if grant.grant_id == plan.change.grant_id:
            return {GRANT: describe(grant)}
    return {GRANT: GONE}


RECIPES = {
    ChangeKind.REVOKE_GRANT: Recipe(of_key(_draft), _act, _look),
    ChangeKind.RETIRE_GRANT: Recipe(of_key(_draft), _act, _look),
}
