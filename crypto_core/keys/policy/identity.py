"""The statements of an IAM policy that let whoever has it decrypt under every key.

IAM User Guide, "IAM JSON policy elements reference". A policy of an identity has no Principal, and unlike a
key policy it may name any resource.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from crypto_core.errors import PolicyError
from crypto_core.keys.policy.actions import POWERS, named_by
from crypto_core.keys.policy.patterns import like
from crypto_core.text.cleaning import CleanText, clean

DECRYPTING = frozenset({"Decrypt", "ReEncryptFrom"})
"""What opens data keys, or hands them on."""
_ANY_KEY = "arn:{partition}:kms:xx-any-0:{account}:key/0c0ffee0-0000-4000-8000-00000000a11a"
"""A key that no policy means by name: a pattern that it matches is about all keys, in all Regions."""


@dataclass(frozen=True, slots=True)
class WideStatement:
    """A statement that allows decryption under every key."""

    name: CleanText
    """Its Sid, or "statement 2" where it has none."""
    actions: tuple[str, ...]
    resource: CleanText
    conditions: tuple[CleanText, ...] = ()
    """The keys that it asks for: under these it may be about less."""


def wide_statements(document: object, account: str, partition: str = "aws") -> tuple[WideStatement, ...]:
    """Return the statements of an identity's policy that allow decryption under all keys of an account.

    What it denies for all keys without a condition is taken off. `document` is parsed or, as IAM's API has
    it, JSON in URL encoding. Raises PolicyError for what can't be read.
    """
    statements = list(_statements(document))
    any_key = _ANY_KEY.format(partition=partition, account=account)
    wide = [(n, s) for n, s in enumerate(statements, start=1) if _covers(s, any_key)]
    denied: frozenset[str] = frozenset().union(
        *(_actions(s) for _, s in wide if s.get("Effect") == "Deny" and not s.get("Condition"))
    )
    return tuple(
        WideStatement(
            clean(s.get("Sid") or f"statement {n}", 120),
            tuple(sorted(allowed)),
            clean(" or ".join(_texts(s, "Resource")) or "all but some", 300),
            tuple(clean(key, 120) for key in _condition_keys(s)),
        )
        for n, s in wide
        if s.get("Effect") == "Allow" and (allowed := (_actions(s) & DECRYPTING) - denied)
    )


def _statements(document: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(document, str):
        try:
            document = json.loads(unquote(document))
        except (ValueError, RecursionError) as error:
            raise PolicyError("The policy is not readable JSON.") from error
    given = document.get("Statement") if isinstance(document, Mapping) else None
    found = given if isinstance(given, list) else [given]
    for one in found:
        if not isinstance(one, Mapping):
            raise PolicyError("The policy has no Statement, or one that is not an object.")
        yield one


def _texts(statement: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = statement.get(name, ())
    values = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(one, str) for one in values):
        raise PolicyError(f"{name} is neither a text nor a list of texts.")
    return tuple(values)


def _covers(statement: Mapping[str, Any], key_arn: str) -> bool:
    if "NotResource" in statement:
        return not any(like(pattern, key_arn) for pattern in _texts(statement, "NotResource"))
    return any(like(pattern, key_arn) for pattern in _texts(statement, "Resource"))


def _actions(statement: Mapping[str, Any]) -> frozenset[str]:
    negated = "NotAction" in statement
    patterns = _texts(statement, "NotAction" if negated else "Action")
    # *:* is every action of every service.
    named: frozenset[str] = frozenset().union(*map(named_by, patterns))
    return frozenset(POWERS) - named if negated else named


def _condition_keys(statement: Mapping[str, Any]) -> Iterator[str]:
    given = statement.get("Condition")
    for tests in given.values() if isinstance(given, Mapping) else ():
        yield from map(str, tests if isinstance(tests, Mapping) else (tests,))
