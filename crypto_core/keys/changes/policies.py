"""Putting a key policy: what it changes for whom, and what is not put without being asked twice.

API reference, PutKeyPolicy. Its BypassPolicyLockoutSafetyCheck stays false: KMS refuses a policy with which
the caller could not put another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crypto_core.errors import KmsError, PolicyError, RefusedError
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import ChangePlan, Draft
from crypto_core.keys.changes.reading import TOKENS, KeyReader, policy_fact, typed_name
from crypto_core.keys.changes.recipe import CallRecorder, Readings, Recipe, of_key
from crypto_core.keys.policy.access import Access, accesses
from crypto_core.keys.policy.comparison import PolicyComparison, compare, effects
from crypto_core.keys.policy.document import PolicyDocument, parse_policy
from crypto_core.keys.state import KeyState
from crypto_core.text.cleaning import NO_TEXT, shortened

POLICY = "policy"
_OPENS, _SEALS = "Decrypt", "GenerateDataKey"
_USES = ("Decrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo")
_SESSION = re.compile(r"arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role/([^/]+)/.+")


def _draft(reader: KeyReader, change: KeyChange, state: KeyState) -> Draft:
    return draft_policy(reader, state, change.policy, accept_lockout=change.accept_lockout)


def draft_policy(reader: KeyReader, state: KeyState, policy: str, *, accept_lockout: bool = False) -> Draft:
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
        shut_out = tuple(_shut_out(reader, now, then, state.key_arn))
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


def put_policy(acting: CallRecorder, plan: ChangePlan) -> None:
    acting.call("PutKeyPolicy", KeyId=acting.key_id, PolicyName="default", Policy=plan.policy)


def look_at_policy(reader: KeyReader, plan: ChangePlan, key_arn: str) -> Readings:
    return {POLICY: read_policy_fact(reader, key_arn)}


def read_policy_fact(reader: KeyReader, key_arn: str) -> str:
    """Return the policy that a key has now, as a fact. Raises KmsError."""
    try:
        return policy_fact(parse_policy(reader.policy_text(reader.keys.describe(key_arn))))
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
    session = _SESSION.fullmatch(caller)
    if access.all_but:
        return not _is(principal.value, caller, session)
    if principal.is_everyone:
        return True
    parts = caller.split(":")
    if principal.is_account:
        return len(parts) > 4 and principal.account == parts[4]
    return _is(principal.value, caller, session)


def is_caller(value: str, caller: str) -> bool:
    """True if an ARN is the caller's, or that of the role whose session the caller is."""
    return _is(value, caller, _SESSION.fullmatch(caller))


def _is(value: str, caller: str, session: re.Match[str] | None) -> bool:
    if value == caller:
        return True
    if session is None:
        return False
    # STS leaves out the path that IAM has in the role's ARN.
    prefix = f"arn:{session[1]}:iam::{session[2]}:role/"
    return value.startswith(prefix) and value.rsplit("/", 1)[-1] == session[3]


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
    session = _SESSION.fullmatch(caller)
    others = [
        any(a.all_but or not _is(a.principal.value, caller, session) for a in some)
        for some in (before, after)
    ]
    if others == [True, False]:
        yield f"Nobody but Keydeck keeps {_OPENS}: the platform can't open the tokens."


RECIPES = {
    ChangeKind.PUT_POLICY: Recipe(of_key(_draft), put_policy, look_at_policy),
}
