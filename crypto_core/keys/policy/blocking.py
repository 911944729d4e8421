"""The statement by which a key refuses one principal, put beside what a policy says, and found in it again.

A denial outweighs policies, grants and IAM. It goes by the principal's ARN as a condition: that also holds
for a role that is deleted and made again, which a policy's Principal would no longer mean. AWS KMS Developer
Guide, "Determining access to AWS KMS keys"; IAM User Guide, "AWS JSON policy elements: Principal" and
"AWS global condition context keys" (aws:PrincipalArn is a session's role).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from crypto_core.errors import RefusedError
from crypto_core.keys.policy.document import PolicyDocument
from crypto_core.keys.policy.least_privilege import is_principal
from crypto_core.text.cleaning import clean

_SID = "KeydeckBlocks"
_SERVICE = re.compile(r"[a-z0-9.-]+\.amazonaws\.com(?:\.cn)?")
_SESSION = re.compile(r"arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role/([\w+=,.@-]{1,64})/[\w+=,.@-]{1,64}")


def arns_of(principal: str) -> tuple[str, ...]:
    """Return the patterns of ARNs by which a role or user is refused; of a session that of its role.

    A session's ARN leaves out the path that IAM has in the role's. Raises RefusedError for what is none.
    """
    if session := _SESSION.fullmatch(principal):
        partition, account, role = session.groups()
        return tuple(f"arn:{partition}:iam::{account}:role/{path}{role}" for path in ("", "*/"))
    if is_principal(principal) and not principal.endswith(":root"):
        return (principal,)
    shown = clean(principal, 200)
    if not principal:
        what = "Nobody is named: block an IAM role or user, or a session of a role."
    elif principal == "*":
        what = "Everyone (*) can't be blocked: it is not an IAM role or user."
    elif principal.endswith(":root"):
        what = f"{shown} is a whole account, not an IAM role or user: block these one by one."
    elif _SERVICE.fullmatch(principal):
        what = f"{shown} is an AWS service, not an IAM role or user: block whoever calls it."
    else:
        what = f"{shown} is not an IAM role or user, nor a session of a role."
    raise RefusedError(what, remedy="Write it as arn:aws:iam::123456789012:role/name.")


def blocked_by(policy: PolicyDocument) -> tuple[tuple[str, ...], ...]:
    """Return the patterns of ARNs that a policy refuses in this way, a statement each, in its order."""
    return tuple(
        values
        for statement in policy.statements
        if statement.sid.startswith(_SID) and not statement.allows
        if (values := tuple(value for condition in statement.conditions for value in condition.values))
    )


def with_block(policy: PolicyDocument, principal: str) -> dict[str, Any]:
    """Return the policy with a statement that refuses a principal all of KMS. Raises RefusedError."""
    arns = arns_of(principal)
    statement = {
        "Sid": _sid(arns),
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "kms:*",
        "Resource": "*",
        "Condition": {"ArnLike": {"aws:PrincipalArn": list(arns)}},
    }
    return dict(policy.raw) | {"Statement": [*_others(policy, principal), statement]}


def without_block(policy: PolicyDocument, principal: str) -> dict[str, Any]:
    """Return the policy without the statement that refuses a principal. Raises RefusedError."""
    left = _others(policy, principal)
    if len(left) == len(policy.statements):
        blocked = ", ".join(clean(arns[0], 200) for arns in blocked_by(policy))
        raise RefusedError(
            f"{clean(principal, 200)} is not blocked on this key.",
            remedy=f"Blocked are: {blocked}." if blocked else "Nobody is.",
        )
    return dict(policy.raw) | {"Statement": left}


def _others(policy: PolicyDocument, principal: str) -> list[Any]:
    raw = policy.raw["Statement"]
    sid = _sid(arns_of(principal))
    return [one for one in (raw if isinstance(raw, list) else [raw]) if one.get("Sid") != sid]


def _sid(arns: tuple[str, ...]) -> str:
    return f"{_SID}{hashlib.sha256(arns[0].encode()).hexdigest()[:16]}"
