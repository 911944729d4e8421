"""Keys for the rules, as KMS would describe them; a test changes what it is about."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto_core.findings.finding import Finding, Gap
from crypto_core.keys.grants import Grant, parse_grant
from crypto_core.keys.policy.access import Access, accesses
from crypto_core.keys.policy.document import parse_policy
from crypto_core.keys.posture.facts import Estate, KeyFacts
from crypto_core.keys.posture.limits import Limits
from crypto_core.keys.state import KeyMaterial, KeyState

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ACCOUNT = "111122223333"
OTHER = "999999999999"
ORGANISATION = "o-a1b2c3d4e5"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/platform"
ADMIN = f"arn:aws:iam::{ACCOUNT}:role/key-admin"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
HOSTILE = "\x1b]0;owned\x07[/red]\u202e\u200bx"
"""Control and format characters, and markup, as they may stand in a Sid, an alias or a description."""

Rule = Callable[[KeyFacts, Estate], Iterator[Finding | Gap]]


def arn(number: int = 1, region: str = "eu-west-1", *, multi: bool = False, account: str = ACCOUNT) -> str:
    key_id = f"mrk-{number:032x}" if multi else f"{number:08x}-0000-4000-8000-000000000000"
    return f"arn:aws:kms:{region}:{account}:key/{key_id}"


def key(number: int = 1, *, age: int = 100, **fields: Any) -> KeyState:
    """An enabled symmetric customer key, so many days old, that rotates every year."""
    whole = {
        "key_arn": arn(number),
        "region": "eu-west-1",
        "state": "Enabled",
        "created_at": NOW - timedelta(days=age),
        "manager": "CUSTOMER",
        "origin": "AWS_KMS",
        "spec": "SYMMETRIC_DEFAULT",
        "usage": "ENCRYPT_DECRYPT",
        "rotation_enabled": True,
        "rotation_period_days": 365,
        "use_tracked_since": NOW - timedelta(days=300),
    }
    return KeyState(**(whole | fields))


def facts(number: int = 1, **fields: Any) -> KeyFacts:
    """A key with its policy read; fields of KeyFacts go there, the others to the key."""
    own = {n: fields.pop(n) for n in list(fields) if n in KeyFacts.__dataclass_fields__ and n != "key"}
    whole: dict[str, Any] = {"accesses": (), "grants": ()}
    return KeyFacts(key(number, **fields), **(whole | own))


def material(number: int, age: int, state: str = "CURRENT") -> KeyMaterial:
    return KeyMaterial(f"{number:064x}", state, NOW - timedelta(days=age))


def estate(*keys: KeyFacts, write_key: str | None = None, **limits: Any) -> Estate:
    return Estate(NOW, Limits(**limits), keys, write_key)


def ask(rule: Rule, about: KeyFacts, *others: KeyFacts, **limits: Any) -> list[Finding | Gap]:
    return list(rule(about, estate(about, *others, **limits)))


def finding(rule: Rule, about: KeyFacts, *others: KeyFacts, **limits: Any) -> Finding:
    (found,) = ask(rule, about, *others, **limits)
    assert isinstance(found, Finding)
    return found


def gap(rule: Rule, about: KeyFacts, *others: KeyFacts, **limits: Any) -> Gap:
    (found,) = ask(rule, about, *others, **limits)
    assert isinstance(found, Gap)
    return found


def allow(principal: Any, actions: Any = "kms:*", condition: Any = None, sid: str = "") -> dict[str, Any]:
    raw = {"Effect": "Allow", "Principal": principal, "Action": actions, "Resource": "*"}
    return raw | ({"Condition": condition} if condition else {}) | ({"Sid": sid} if sid else {})


def policy(*statements: dict[str, Any]) -> tuple[Access, ...]:
    """What a key policy lets through."""
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    return accesses(parse_policy(text), (), arn())


def grant(grantee: str, *operations: str, **raw: Any) -> Grant:
    return parse_grant(
        {"GrantId": "g" * 64, "GranteePrincipal": grantee, "Operations": list(operations or ("Decrypt",))}
        | raw
    )


def with_policy(*statements: dict[str, Any], tokens: int | None = 5, **fields: Any) -> KeyFacts:
    return replace(facts(tokens=tokens, **fields), accesses=policy(*statements))
