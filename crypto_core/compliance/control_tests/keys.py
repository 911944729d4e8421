"""Tests of the keys that guard tokens: how strong, where they are kept, who may use them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from crypto_core.compliance.answer import BY_TEST, ControlAnswer, answer, cause, control_test, not_assessed
from crypto_core.compliance.facts import NOT_COUNTED, AccessFacts, GuardingKeyFacts, KeyFact
from crypto_core.compliance.snapshot import SnapshotPart
from crypto_core.findings.finding import Finding
from crypto_core.values.counts import counted, listed

_NO_KEYS = "no key is known that guards tokens"
_SPEC = "SYMMETRIC_DEFAULT"
"""AES-256-GCM in KMS (API reference, KeySpec)."""
_IN_KMS = {
    "AWS_KMS": "made in KMS, and never leaves it in the clear",
    "AWS_CLOUDHSM": "in an AWS CloudHSM cluster",
}
_ELSEWHERE = {
    "EXTERNAL": "imported: a copy was, or is, outside of KMS",
    "EXTERNAL_KEY_STORE": "kept by an external key manager, which Keydeck does not examine",
}
_POWERFUL = ("Decrypt", "ReEncryptFrom", "PutKeyPolicy", "CreateGrant", "ScheduleKeyDeletion")


def _each(judged: Callable[[KeyFact], tuple[str, str]], facts: GuardingKeyFacts) -> ControlAnswer:
    """The answer by what is said of each key: good, bad or open, and the line."""
    if not facts.keys:
        return not_assessed(_NO_KEYS)
    found: dict[str, list[Finding]] = {"good": [], "bad": [], "open": []}
    for key in facts.keys:
        kind, line = judged(key)
        found[kind].append(cause(BY_TEST, key.arn, f"{key.name}: {line}"))
    unseen = [NOT_COUNTED] if any(key.tokens is None for key in facts.keys) else []
    return answer(found["good"], bad=found["bad"], open_=found["open"], unseen=unseen)


@control_test("keys-strong", SnapshotPart.KEYS)
def _strong(_now: datetime, facts: GuardingKeyFacts) -> ControlAnswer:
    """Every key that guards tokens is a symmetric AES-256 key."""
    return _each(_strength, facts)


def _strength(key: KeyFact) -> tuple[str, str]:
    if key.spec is None:
        return "open", f"key spec not known: {key.missing.get('state', 'KMS does not tell')}"
    if key.spec == _SPEC:
        return "good", f"{_SPEC} (AES-256-GCM), {_tokens(key)}"
    return "bad", f"{key.spec}, {_tokens(key)}"


@control_test("keys-kept-in-kms", SnapshotPart.KEYS)
def _kept_in_kms(_now: datetime, facts: GuardingKeyFacts) -> ControlAnswer:
    """Every key that guards tokens is customer managed, and its material was made and stays in KMS."""
    return _each(_keeping, facts)


def _keeping(key: KeyFact) -> tuple[str, str]:
    if key.manager is None or key.origin is None:
        return "open", f"origin not known: {key.missing.get('state', 'KMS does not tell')}"
    if key.manager != "CUSTOMER":
        return "bad", "managed by AWS: neither its policy nor its rotation is yours"
    if key.origin in _IN_KMS:
        return "good", f"customer managed; material {_IN_KMS[key.origin]}"
    return "open", f"customer managed; material {_ELSEWHERE.get(key.origin, key.origin)}"


def _tokens(key: KeyFact) -> str:
    return "tokens not counted" if key.tokens is None else counted(key.tokens, "token")


@control_test("keys-inventoried", SnapshotPart.KEYS)
def _inventory(now: datetime, facts: GuardingKeyFacts) -> ControlAnswer:
    """Of every such key state, spec, origin, rotation, tokens and age of material are known."""

    def judged(key: KeyFact) -> tuple[str, str]:
        unknown = [
            what
            for what, value in {
                "state": key.state,
                "spec": key.spec,
                "origin": key.origin,
                "rotation": key.rotates,
                "tokens": key.tokens,
                "age of its material": key.oldest_in_use if key.tokens else now,
            }.items()
            if value is None
        ]
        if unknown:
            return "open", f"not known: {', '.join(unknown)}"
        age = (
            f", oldest material in use {counted((now - key.oldest_in_use).days, 'day')}"
            if key.oldest_in_use
            else ""
        )
        return "good", f"{key.state}, {key.spec}, {key.origin}, {_tokens(key)}{age}"

    return _each(judged, facts)


@control_test("key-access-known", SnapshotPart.ACCESS)
def _access_known(_now: datetime, facts: AccessFacts) -> ControlAnswer:
    """Who may decrypt, re-encrypt, grant, delete or change the policy is known for every such key."""
    if not facts.keys:
        return not_assessed(_NO_KEYS)
    powers = [
        (one, [action for action in _POWERFUL if action in one.actions])
        for one in facts.accesses
        if any(action in one.actions for action in _POWERFUL)
    ]
    lines = [f"{one.key}: {one.who} may {listed(actions, 3)} ({one.by})" for one, actions in powers]
    open_ = [
        f"{one.key}: {one.who} may {listed(actions, 3)}: IAM policies there decide who of it"
        for one, actions in powers
        if one.delegated
    ]
    good = [line for line, (one, _) in zip(lines, powers, strict=True) if not one.delegated]
    summary = f"Policies of {counted(len(facts.keys), 'key')}: {counted(len(powers), 'permission')}"
    return answer([summary, *good], open_=open_, unseen=[f"Not read: {gap}" for gap in facts.gaps])
