"""Who may use a key: a policy put, a principal blocked in a way that is undone by its name, a grant revoked.

API reference, PutKeyPolicy; Developer Guide, "Retiring and revoking grants". PutKeyPolicy's
BypassPolicyLockoutSafetyCheck stays false: KMS refuses a policy with which the caller could not put another
one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.key_reader import TOKENS, KeyReader, policy_fact, typed_name
from crypto_core.keys.changes.plan import ChangePlan, Draft
from crypto_core.keys.changes.recipe import of_key
from crypto_core.keys.grants import Grant, read_grants
from crypto_core.keys.policy.access import Access, accesses
from crypto_core.keys.policy.actions import in_words
from crypto_core.keys.policy.block_statement import (
    BlockStatement,
    arns_of,
    grantees,
    with_blocks,
    without_block,
)
from crypto_core.keys.policy.comparison import PolicyComparison, compare, effects
from crypto_core.keys.policy.document import PolicyDocument, parse_policy
from crypto_core.keys.principals import is_of
from crypto_core.keys.state import KeyState
from crypto_core.values.clean_text import NO_TEXT, clean, shortened
from crypto_core.values.errors import KmsError, PolicyError, RefusedError

POLICY = "policy"
GRANT = "grant"
GONE = "gone"
_OPENS, _SEALS = "Decrypt", "GenerateDataKey"
_USES = ("Decrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo")


def _draft(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    return _draft_policy(reader, state, change.policy, accept_lockout=change.accept_lockout)


def _draft_policy(
    reader: KeyReader, state: KeyState, policy: str, *, accept_lockout: bool = False, takes: bool = True
) -> Draft:
    """Return what putting a policy would do. Raises PolicyError, KmsError, RefusedError for a lockout."""
    then = parse_policy(policy)
    text = reader.policy_text(state)
    warnings: list[str] = []
    try:
        now = parse_policy(text)
    except PolicyError as error:
        warnings.append(f"The present policy can't be read, so everything differs from it: {error.message}")
        now = PolicyDocument(NO_TEXT, (), {})
    found = compare(now, then, state.key_arn)
    before, after = policy_fact(now), policy_fact(then)
    same = before == after
    seen, confirmation, tokens = {POLICY: before}, typed_name(state), None
    if not same:
        warnings += lockout_warnings(reader, then, state.key_arn, accepted=accept_lockout)
        warnings += _access_warnings(now, then, found, state.key_arn)
        shut_out = tuple(_shut_out(reader, now, then, state.key_arn)) if takes else ()
        if shut_out:
            tokens = reader.tokens(state)
            seen[TOKENS] = str(tokens)
            confirmation = tokens.confirmation or confirmation
            warnings += (*shut_out, *tokens.warnings)
    if state.state not in ("Enabled", "Disabled"):
        warnings.append(f"The key is {state.state}; its policy can be put all the same.")
    return Draft(
        title=f"Put a policy on {state.name}",
        seen=seen,
        expected={POLICY: after},
        operations=() if same else ("PutKeyPolicy",),
        confirmation=confirmation,
        tokens=tokens,
        does=("The whole policy is replaced by the one that is given.",),
        does_not=(
            "Does not touch grants, nor what IAM policies allow where the key's policy names the account.",
            "Does not affect data keys that were already opened.",
        ),
        warnings=tuple(warnings),
        policy_changes=effects(found.changes),
        policy_lines=found.lines,
        policy=policy,
    )


def _put(plan: ChangePlan, key_id: str) -> dict[str, str]:
    return {"KeyId": key_id, "PolicyName": "default", "Policy": plan.policy}


def _read_policy(reader: KeyReader, change: KeyChange, state: KeyState) -> dict[str, str]:
    return {POLICY: read_policy_fact(reader, state)}


def read_policy_fact(reader: KeyReader, state: KeyState) -> str:
    try:
        return policy_fact(parse_policy(reader.policy_text(state)))
    except PolicyError as error:
        return f"none that can be read: {shortened(error.message, 200)}"


def lockout_warnings(
    reader: KeyReader, policy: PolicyDocument, key_arn: str, *, accepted: bool = False
) -> Iterator[str]:
    """Yield why no principal, or not the caller, could put another policy, where that was accepted.

    Raises RefusedError where it was not.
    """
    allowed = [
        access
        for access in accesses(policy, (), key_arn)
        if "PutKeyPolicy" in access.actions
        and access.principal.kind == "AWS"
        and not access.principal.is_gone
    ]
    why = ""
    if not allowed:
        why = "With this policy no principal may put another one (kms:PutKeyPolicy): the key stays locked."
    else:
        try:
            caller = reader.kms.identity().arn
        except KmsError as error:
            yield f"Whether you could put another policy is not known: {error}"
            return
        if not any(_may_be(access, caller) for access in allowed):
            why = f"With this policy {caller} may not put another one (kms:PutKeyPolicy)."
    if not why:
        return
    if not accepted:
        raise RefusedError(
            why,
            remedy="Let an administrator put it, or keep kms:PutKeyPolicy for yourself. Nothing was sent.",
        )
    yield f"{why} KMS checks the same and has the last word."


def _may_be(access: Access, caller: str) -> bool:
    """True if the caller is, or is of, an access's principal. Sessions are those of their role."""
    principal = access.principal
    if access.all_but:
        return not is_of(caller, principal.value)
    if principal.is_everyone:
        return True
    parts = caller.split(":")
    if principal.is_account:
        return len(parts) > 4 and principal.account == parts[4]
    return is_of(caller, principal.value)


def _access_warnings(
    now: PolicyDocument, then: PolicyDocument, found: PolicyComparison, key_arn: str
) -> Iterator[str]:
    before = {a.principal.value for a in accesses(now, (), key_arn) if a.is_public}
    for access in accesses(then, (), key_arn):
        if access.is_public and access.principal.value not in before:
            yield (
                f"PUBLIC: {access.statement or 'a statement'} lets anybody with AWS credentials use the key. "
                "Bind it to an account or an organization."
            )
    for change in found.changes:
        lost = [action for action in _USES if action in change.loses]
        if lost:
            yield (
                f"{change.who} loses {', '.join(lost)}: if the platform works by that, its tokens no longer "
                "open or are no longer written."
            )


def _shut_out(reader: KeyReader, now: PolicyDocument, then: PolicyDocument, key_arn: str) -> Iterator[str]:
    """Yield from whom the key's tokens are taken: Keydeck itself, or the platform, told by its rights.

    The platform is who may make and open data keys by name. Where a policy names an account, its IAM policies
    may let the platform in: it is shut out for certain only if nobody but Keydeck opens any more.
    """
    before = [a for a in accesses(now, (), key_arn) if _OPENS in a.actions]
    after = [a for a in accesses(then, (), key_arn) if _OPENS in a.actions]
    caller = ""
    try:
        caller = reader.kms.identity().arn
    except KmsError as error:
        if {a.principal for a in before} - {a.principal for a in after}:
            yield f"Whether Keydeck keeps {_OPENS} is not known: {error}"
    if caller and any(_may_be(a, caller) for a in before) and not any(_may_be(a, caller) for a in after):
        yield f"Keydeck itself ({caller}) loses {_OPENS}: it can neither open nor re-encrypt the tokens."
    seals = {a.principal for a in accesses(now, (), key_arn) if _SEALS in a.actions}
    kept = {a.principal for a in after if not a.all_but}
    for principal in dict.fromkeys(a.principal for a in before if not a.all_but):
        named = not (principal.is_account or principal.is_everyone or principal.is_gone)
        if named and principal in seals - kept and not any(a.is_public for a in after):
            yield f"{principal.name} makes data keys under the key and loses {_OPENS}: it is the platform's."
    others = [
        any(a.all_but or not is_of(caller, a.principal.value) for a in some) for some in (before, after)
    ]
    if others == [True, False]:
        yield f"Nobody but Keydeck keeps {_OPENS}: the platform can't open the tokens."


def _draft_block(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    now, blocks = parse_policy(reader.policy_text(state)), change.blocked
    unknown = [*_by_iam(now, blocks, state.key_arn)]
    warnings = [*_about_caller(reader, blocks), *unknown, *_of_grants(reader, state, blocks)]
    draft = _draft_policy(reader, state, json.dumps(with_blocks(now, blocks)))
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
    title = f"Block {_names(blocks)} on {state.name}"
    return _block_draft(draft, change, state, title, does, warnings, typed=typed)


def _draft_unblock(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    who, now = clean(change.principal, 200), parse_policy(reader.policy_text(state))
    # Nothing is taken away by it, whatever else the policy does.
    draft = _draft_policy(reader, state, json.dumps(without_block(now, change.principal)), takes=False)
    does = [f"{who} may do again what policy, grants and IAM allow it. Make sure that it is trusted."]
    title = f"Unblock {who} on {state.name}"
    return _block_draft(draft, change, state, title, does, (), typed=False)


def _block_draft(
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
        if any(is_of(caller, arn.replace("*/", "")) for arn in arns_of(block.principal)):
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


def describe(grant: Grant) -> str:
    constrained = " with a certain encryption context" if grant.constraints else ""
    named = f" ({grant.name})" if grant.name else ""
    return f"{grant.grantee.name} may {in_words(grant.operations)}{constrained}{named}"


def _grant(reader: KeyReader, change: KeyChange, state: KeyState) -> Grant | None:
    grants = read_grants(reader.kms, state.region, state.key_arn)
    return next((grant for grant in grants if grant.grant_id == change.grant_id), None)


def _draft_revocation(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    grant = _grant(reader, change, state)
    if grant is None:
        raise RefusedError(
            f"{state.name} has no grant {change.grant_id}.",
            remedy=f"List them with: keydeck keys grants {typed_name(state)}.",
        )
    lost = " and ".join(o for o in grant.operations if o in ("Decrypt", "ReEncryptFrom", "GenerateDataKey"))
    warning = (
        f"{grant.grantee.name} loses {lost}: if it is the platform, or a service that it uses, tokens under "
        "this key no longer open or are no longer written there."
    )
    return Draft(
        title=f"Revoke a grant on {state.name}",
        seen={GRANT: describe(grant)},
        expected={GRANT: GONE},
        operations=("RevokeGrant",),
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
        warnings=(warning,) if lost else (),
    )


def _read_grant(reader: KeyReader, change: KeyChange, state: KeyState) -> dict[str, str]:
    grant = _grant(reader, change, state)
    return {GRANT: describe(grant) if grant else GONE}


def _the_grant(plan: ChangePlan, key_id: str) -> dict[str, str]:
    return {"KeyId": key_id, "GrantId": plan.change.grant_id}


RECIPES = {
    ChangeKind.PUT_POLICY: of_key(_draft, _read_policy, _put),
    ChangeKind.BLOCK: of_key(_draft_block, _read_policy, _put),
    ChangeKind.UNBLOCK: of_key(_draft_unblock, _read_policy, _put),
    ChangeKind.REVOKE_GRANT: of_key(_draft_revocation, _read_grant, _the_grant),
}
