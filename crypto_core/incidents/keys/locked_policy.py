"""The policy that locks a key down: named principals can decrypt, none can encrypt, administrators stay.

AWS KMS Developer Guide, "Key policies" and "Allows access to the AWS account and enables IAM policies": what
the account's statement no longer has, IAM policies can't give either. Denials stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crypto_core.keys.policy.access import accesses
from crypto_core.keys.policy.actions import POWERS, Power
from crypto_core.keys.policy.document import PolicyDocument, Statement, parse_policy
from crypto_core.keys.policy.least_privilege import NEEDS, Role
from crypto_core.keys.policy.narrowing import narrowings
from crypto_core.keys.principal import PolicyPrincipal

ADMINISTERS = NEEDS[Role.ADMINISTRATOR] - {"ReplicateKey"}
"""What is left to those who administer the key: a replica would have a policy of its own."""
USES = frozenset(a for a, power in POWERS.items() if power in (Power.OPEN, Power.SEAL)) | {
    "CreateGrant",
    "ReplicateKey",
}
"""What opens or seals data keys, or gives others that."""
READS = ("kms:Decrypt", "kms:DescribeKey")

_RESPONDER = "KeydeckLockdownResponderOpens"
_READERS = "KeydeckLockdownReadersUntilMoved"
_ACCOUNT = "KeydeckLockdownAccountAdministers"
_OURS = (_RESPONDER, _READERS, _ACCOUNT)


@dataclass(frozen=True, slots=True)
class LockedPolicy:
    """The policy, and the dropped parts of the old one in words."""

    raw: dict[str, Any]
    dropped: tuple[str, ...] = ()
    administrators: tuple[str, ...] = ()
    """Who may put another policy, in words."""


def locked_policy(
    now: PolicyDocument, key_arn: str, responder: str, readers: Sequence[str] = ()
) -> LockedPolicy:
    """Return what becomes of a key's policy. `responder` and `readers` are ARNs that may open data keys."""
    statements: list[dict[str, Any]] = []
    dropped: list[str] = []
    raws = now.raw.get("Statement")
    for number, (statement, raw) in enumerate(
        zip(now.statements, raws if isinstance(raws, list) else [raws], strict=True), start=1
    ):
        if statement.sid in _OURS:
            continue
        kept = _kept(statement, dict(raw), now)
        if kept is not None:
            statements.append(kept)
        elif statement.allows:
            dropped.append(f"{statement.sid or f'statement {number}'} is dropped")
    document = {"Version": now.raw.get("Version", "2012-10-17"), "Statement": statements}
    if not statements or not _administrators(document, key_arn):
        statements.append(_allow(_ACCOUNT, (_root(key_arn),), (f"kms:{a}" for a in sorted(ADMINISTERS))))
    looks = (f"kms:{action}" for action in sorted(NEEDS[Role.INSPECTOR]))
    statements.append(_allow(_RESPONDER, (responder,), ("kms:Decrypt", *looks)))
    if readers:
        statements.append(_allow(_READERS, readers, READS))
    if "Id" in now.raw:
        document["Id"] = now.raw["Id"]
    return LockedPolicy(document, tuple(dropped), _administrators(document, key_arn))


def _kept(statement: Statement, raw: dict[str, Any], now: PolicyDocument) -> dict[str, Any] | None:
    """What is left of a statement, None if nothing is."""
    name = "NotPrincipal" if statement.all_principals_but else "Principal"
    principal = _without_deleted(raw[name], statement.principals)
    if principal is None:
        return None
    raw[name] = principal
    if not statement.allows:
        return raw
    if statement.all_principals_but:
        return None
    everyone = any(p.is_everyone for p in statement.principals)
    if everyone and not narrowings(statement, [s for s in now.statements if not s.allows]):
        return None
    left = statement.covers & ADMINISTERS
    if not left:
        return None
    if left != statement.covers:
        raw.pop("NotAction", None)
        raw["Action"] = [f"kms:{action}" for action in sorted(left)]
    return raw


def _without_deleted(raw: Any, principals: Sequence[PolicyPrincipal]) -> Any:
    """The principals but for deleted ones, whom KMS takes in no policy; None if none is left."""
    gone = {p.value for p in principals if p.is_gone}
    if not gone or not isinstance(raw, Mapping):
        return raw
    found: dict[str, Any] = {}
    for kind, values in raw.items():
        left = [v for v in (values if isinstance(values, list) else [values]) if v not in gone]
        if left:
            found[kind] = left
    return found or None


def _administrators(document: Mapping[str, Any], key_arn: str) -> tuple[str, ...]:
    found = accesses(parse_policy(json.dumps(document)), (), key_arn)
    return tuple(
        dict.fromkeys(
            a.principal.name
            for a in found
            if "PutKeyPolicy" in a.actions and a.principal.kind == "AWS" and not a.principal.is_gone
        )
    )


def _root(key_arn: str) -> str:
    parts = key_arn.split(":")
    return f"arn:{parts[1]}:iam::{parts[4]}:root"


def _allow(sid: str, principals: Sequence[str], actions: Any) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": list(principals) if len(principals) > 1 else principals[0]},
        "Action": list(actions),
        "Resource": "*",
    }
