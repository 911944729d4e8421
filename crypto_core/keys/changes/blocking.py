"""Refusing one principal the use of a key at once, in a way that is undone by its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from crypto_core.errors import KmsError, RefusedError
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import Draft
from crypto_core.keys.changes.policies import draft_policy, is_caller, look_at_policy, put_policy
from crypto_core.keys.changes.reading import KeyReader, typed_name
from crypto_core.keys.changes.recipe import Recipe, of_key
from crypto_core.keys.grants import read_grants
from crypto_core.keys.policy.access import accesses
from crypto_core.keys.policy.actions import in_words
from crypto_core.keys.policy.blocking import arns_of, with_block, without_block
from crypto_core.keys.policy.document import PolicyDocument, parse_policy
from crypto_core.keys.state import KeyState
from crypto_core.text.cleaning import clean


def _draft(reader: KeyReader, change: KeyChange, state: KeyState, *, blocks: bool) -> Draft:
    who, now = clean(change.principal, 200), parse_policy(reader.policy_text(state))
    if blocks:
        unknown = [*_by_iam(now, change.principal, state.key_arn)]
        warnings = [*_about_caller(reader, change.principal), *unknown]
        warnings += _of_grants(reader, state, change.principal)
        raw = with_block(now, change.principal)
        undone = f"Undone with: keydeck keys unblock {typed_name(state)} {who}"
        does = [f"{who} and its sessions are refused all of {state.name}, whatever else allows it.", undone]
    else:
        unknown, warnings, raw = [], [], without_block(now, change.principal)
        does = [f"{who} may do again what policy, grants and IAM allow it. Make sure that it is trusted."]
    draft = draft_policy(reader, state, json.dumps(raw))
    others = [arn for arn in dict.fromkeys((state.primary_arn, *state.replica_arns)) if arn]
    warnings += [
        f"{arn} has a policy of its own: keydeck keys {change.kind} {arn} {who}"
        for arn in others
        if arn != state.key_arn
    ]
    return replace(
        draft,
        title=f"{'Block' if blocks else 'Unblock'} {who} on {state.name}",
        typed=draft.tokens is not None or bool(unknown),
        does=tuple(does),
        does_not=(
            "Does not touch its credentials, other keys, or data keys that it has opened already.",
            "Does not hold at once: it can take KMS some seconds, at most five minutes.",
        ),
        warnings=(*warnings, *draft.warnings),
    )


def _by_iam(now: PolicyDocument, principal: str, key_arn: str) -> Iterator[str]:
    """Yield that a principal may be the platform, where the policy names no one who makes data keys."""
    account = principal.split(":")[4]
    allowed = (a for a in accesses(now, (), key_arn) if "GenerateDataKey" in a.actions and not a.all_but)
    if any(
        a.principal.is_everyone or (a.principal.is_account and a.principal.account == account)
        for a in allowed
    ):
        yield (
            "Make sure that it is not the platform: the policy doesn't name who makes data keys, so that is "
            "not known here. If it is, the platform can neither open nor write tokens under the key."
        )


def _about_caller(reader: KeyReader, principal: str) -> Iterator[str]:
    """Yield that it's not known who is asking. Raises RefusedError for whoever would block themselves."""
    try:
        caller = reader.kms.identity().arn
    except KmsError as error:
        yield f"Whether you would block yourself is not known: {error}"
        return
    if any(is_caller(arn.replace("*/", ""), caller) for arn in arns_of(principal)):
        raise RefusedError(
            f"{clean(principal, 200)} is who you are here: you could not take it back.",
            remedy="Work as another principal, or block another one. Nothing was sent.",
        )


def _of_grants(reader: KeyReader, state: KeyState, principal: str) -> Iterator[str]:
    """Yield the grants of a principal: the denial outweighs them as long as it stands."""
    for grant in read_grants(reader.kms, state.region, state.key_arn):
        if grant.grantee.value in arns_of(principal):
            yield (
                f"Its grant {grant.grant_id} to {in_words(grant.operations)} works again once that is undone."
                f" Revoke it with: keydeck keys revoke-grant {typed_name(state)} {grant.grant_id}"
            )


RECIPES = {
    ChangeKind.BLOCK: Recipe(of_key(partial(_draft, blocks=True)), put_policy, look_at_policy),
    ChangeKind.UNBLOCK: Recipe(of_key(partial(_draft, blocks=False)), put_policy, look_at_policy),
}
