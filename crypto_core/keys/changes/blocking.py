"""Refusing principals the use of a key at once, in a way that is undone by their names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from crypto_core.errors import KmsError, RefusedError
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import Draft
from crypto_core.keys.changes.policies import draft_policy, is_caller, look_at_policy, put_policy
from crypto_core.keys.changes.reading import KeyReader, typed_name
from crypto_core.keys.changes.recipe import Recipe, of_key
from crypto_core.keys.grants import read_grants
from crypto_core.keys.policy.access import accesses
from crypto_core.keys.policy.actions import in_words
from crypto_core.keys.policy.blocking import BlockStatement, arns_of, grantees, with_blocks, without_block
from crypto_core.keys.policy.document import PolicyDocument, parse_policy
from crypto_core.keys.state import KeyState
from crypto_core.text.cleaning import clean


def _draft_block(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    now, blocks = parse_policy(reader.policy_text(state)), change.blocked
    unknown = [*_by_iam(now, blocks, state.key_arn)]
    warnings = [*_about_caller(reader, blocks), *unknown, *_of_grants(reader, state, blocks)]
    draft = draft_policy(reader, state, json.dumps(with_blocks(now, blocks)))
    whole = [block for block in blocks if not block.only_from]
    # Whom a limited principal's own addresses are, only the operator knows.
    typed = draft.tokens is not None or bool(unknown) or len(whole) < len(blocks)
    does = [
        f"{clean(block.principal, 200)} is refused all of {state.name}{block.but}, with its sessions, "
        "whatever else allows it."
        for block in blocks
    ]
    does += [
        f"Undone with: keydeck keys unblock {typed_name(state)} {clean(block.principal, 200)}"
        for block in blocks
    ]
    if len(whole) < len(blocks):
        warnings.append(
            "Make sure that these are all of its own addresses and endpoints: from any other the platform "
            "can neither open nor write tokens, nor can an AWS service for it."
        )
    return _told(draft, change, state, f"Block {_names(blocks)} on {state.name}", does, warnings, typed=typed)


def _draft_unblock(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    who, now = clean(change.principal, 200), parse_policy(reader.policy_text(state))
    draft = draft_policy(reader, state, json.dumps(without_block(now, change.principal)))
    does = [f"{who} may do again what policy, grants and IAM allow it. Make sure that it is trusted."]
    title = f"Unblock {who} on {state.name}"
    return _told(draft, change, state, title, does, (), typed=draft.tokens is not None)


def _told(
    draft: Draft,
    change: KeyChange,
    state: KeyState,
    title: str,
    does: Sequence[str],
    warnings: Sequence[str],
    *,
    typed: bool,
) -> Draft:
    others = [arn for arn in dict.fromkeys((state.primary_arn, *state.replica_arns)) if arn]
    elsewhere = [
        f"{arn} has a policy of its own: keydeck keys {change.kind} {arn} {clean(block.principal, 200)}"
        for arn in others
        if arn != state.key_arn
        for block in change.blocked
    ]
    return replace(
        draft,
        title=title,
        typed=typed,
        does=tuple(does),
        does_not=(
            "Does not touch credentials, other keys, or data keys that were opened already.",
            "Does not hold at once: it can take KMS some seconds, at most five minutes.",
        ),
        warnings=(*warnings, *elsewhere, *draft.warnings),
    )


def _names(blocks: Sequence[BlockStatement]) -> str:
    first = clean(blocks[0].principal, 200)
    return first if len(blocks) == 1 else f"{first} and {len(blocks) - 1:,} more"


def _by_iam(now: PolicyDocument, blocks: Sequence[BlockStatement], key_arn: str) -> Iterator[str]:
    """Yield that a principal may be the platform, where the policy names no one who makes data keys."""
    accounts = {block.principal.split(":")[4] for block in blocks if not block.only_from}
    if not accounts:
        return
    allowed = (a for a in accesses(now, (), key_arn) if "GenerateDataKey" in a.actions and not a.all_but)
    if any(
        a.principal.is_everyone or (a.principal.is_account and a.principal.account in accounts)
        for a in allowed
    ):
        yield (
            "Make sure that it is not the platform: the policy doesn't name who makes data keys, so that is "
            "not known here. If it is, the platform can neither open nor write tokens under the key."
        )


def _about_caller(reader: KeyReader, blocks: Sequence[BlockStatement]) -> Iterator[str]:
    """Yield that it's not known who is asking. Raises RefusedError for whoever would block themselves."""
    try:
        caller = reader.kms.identity().arn
    except KmsError as error:
        yield f"Whether you would block yourself is not known: {error}"
        return
    for block in blocks:
        if any(is_caller(arn.replace("*/", ""), caller) for arn in arns_of(block.principal)):
            raise RefusedError(
                f"{clean(block.principal, 200)} is who you are here: you could not take it back.",
                remedy="Work as another principal, or block another one. Nothing was sent.",
            )


def _of_grants(reader: KeyReader, state: KeyState, blocks: Sequence[BlockStatement]) -> Iterator[str]:
    """Yield the grants of the refused: the denial outweighs them as long as it stands."""
    refused = grantees(blocks)
    for grant in read_grants(reader.kms, state.region, state.key_arn):
        if grant.grantee.value in refused:
            yield (
                f"Its grant {grant.grant_id} to {in_words(grant.operations)} works again once that is undone."
                f" Revoke it with: keydeck keys revoke-grant {typed_name(state)} {grant.argument}"
            )


RECIPES = {
    ChangeKind.BLOCK: Recipe(of_key(_draft_block), put_policy, look_at_policy),
    ChangeKind.UNBLOCK: Recipe(of_key(_draft_unblock), put_policy, look_at_policy),
}
