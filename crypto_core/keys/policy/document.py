"""A key policy as its statements, and what is wrong with a text that is none.

IAM User Guide, "IAM JSON policy elements reference" and "Grammar of the IAM JSON policy language"; AWS KMS
Developer Guide, "Key policies" (at most 32 KB; `"Resource": "*"` means this key).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crypto_core.keys.policy.actions import POWERS, named_by
from crypto_core.keys.principals import PolicyPrincipal, like
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.errors import PolicyError

MOST_BYTES = 32 * 1024
_STATEMENT = frozenset(
    {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
)
_KINDS = ("AWS", "Service", "Federated", "CanonicalUser")


@dataclass(frozen=True, slots=True)
class Condition:
    """One test of a statement, such as StringEquals on kms:ViaService. Several values are alternatives."""

    operator: str
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `all_but` turns principals or actions around: all except those that are named."""

    sid: CleanText
    allows: bool
    principals: tuple[PolicyPrincipal, ...]
    all_principals_but: bool
    actions: tuple[str, ...]
    all_actions_but: bool
    resources: tuple[str, ...]
    conditions: tuple[Condition, ...]

    @property
    def covers(self) -> frozenset[str]:
        """The actions on the key that the statement is about, by their names without `kms:`."""
        named: frozenset[str] = frozenset().union(*(named_by(action) for action in self.actions))
        return frozenset(POWERS) - named if self.all_actions_but else named

    def applies_to(self, key_arn: str) -> bool:
        """True if the statement is about this key. In a key policy `*` is the key it belongs to."""
        return any(like(resource, key_arn) for resource in self.resources)


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    version: CleanText
    statements: tuple[Statement, ...]
    raw: Mapping[str, Any]


def parse_policy(text: str) -> PolicyDocument:
    """Return a key policy. Raises PolicyError, which names the statement and the element at fault."""
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise PolicyError(f"The policy is larger than {MOST_BYTES:,} bytes, the most that KMS takes.")
    try:
        raw = json.loads(text, object_pairs_hook=_no_element_twice)
    except RecursionError as error:
        raise PolicyError("The policy is nested too deeply.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise PolicyError(f"The policy is not JSON: {clean(error.msg, 80)} at {where}.") from error
    except ValueError as error:
        # A number of thousands of digits, for one.
        raise PolicyError("The policy is not readable JSON.") from error
    if not isinstance(raw, dict):
        raise PolicyError("The policy is not a JSON object.")
    given = raw.get("Statement")
    statements = given if isinstance(given, list) else [given]
    if not statements or not all(isinstance(s, dict) for s in statements):
        raise PolicyError("The policy has no Statement, or one that is not an object.")
    parsed = tuple(_statement(s, n) for n, s in enumerate(statements, start=1))
    return PolicyDocument(clean(raw.get("Version", "2008-10-17"), 20), parsed, raw)


def _no_element_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            # Which of the two counts would be a matter of the reader.
            raise PolicyError(f"The policy has {clean(name, 60)} twice in one place.")
        found[name] = value
    return found


def _statement(raw: dict[str, Any], number: int) -> Statement:
    sid = raw.get("Sid", "")
    where = f"Statement {number}" + (f" ({clean(sid, 60)})" if sid else "")
    for name in raw:
        if name not in _STATEMENT:
            raise PolicyError(f"{where} has an element that policies don't have: {clean(name, 60)}.")
    if raw.get("Effect") not in ("Allow", "Deny"):
        raise PolicyError(f"{where}: Effect is neither Allow nor Deny.")
    principal, all_but = _one_of(raw, "Principal", "NotPrincipal", where)
    actions, all_actions_but = _one_of(raw, "Action", "NotAction", where)
    if "NotResource" in raw:
        raise PolicyError(f"{where}: a key policy is about its key alone, NotResource says nothing there.")
    return Statement(
        sid=clean(sid, 120),
        allows=raw["Effect"] == "Allow",
        principals=tuple(_principals(principal, where)),
        all_principals_but=all_but,
        actions=_texts(actions, f"{where}: Action"),
        all_actions_but=all_actions_but,
        resources=_texts(raw.get("Resource", "*"), f"{where}: Resource"),
        conditions=tuple(_conditions(raw.get("Condition", {}), where)),
    )


def _one_of(raw: Mapping[str, Any], name: str, negated: str, where: str) -> tuple[Any, bool]:
    """The value of exactly one of two elements, and whether it is the negated one."""
    if (name in raw) == (negated in raw):
        raise PolicyError(f"{where} needs {name} or {negated}, one of the two.")
    return (raw[negated], True) if negated in raw else (raw[name], False)


def _principals(raw: Any, where: str) -> Iterator[PolicyPrincipal]:
    if raw == "*":
        yield PolicyPrincipal("AWS", "*")
        return
    if not isinstance(raw, dict) or not raw:
        raise PolicyError(f'{where}: Principal is neither "*" nor an object.')
    for kind, values in raw.items():
        if kind not in _KINDS:
            raise PolicyError(
                f"{where}: {clean(kind, 40)} is not a kind of principal: {', '.join(_KINDS)} are."
            )
        for value in _texts(values, f"{where}: Principal"):
            yield PolicyPrincipal(kind, value)


def _conditions(raw: Any, where: str) -> Iterator[Condition]:
    if not isinstance(raw, dict):
        raise PolicyError(f"{where}: Condition is not an object.")
    for operator, tests in raw.items():
        if not isinstance(tests, dict):
            raise PolicyError(f"{where}: Condition {clean(operator, 60)} is not an object.")
        for key, values in tests.items():
            at = f"{where}: Condition {clean(key, 60)}"
            yield Condition(operator, key, _texts(values, at, plain=False))


def _texts(raw: Any, where: str, *, plain: bool = True) -> tuple[str, ...]:
    values = raw if isinstance(raw, list) else [raw]
    allowed: tuple[type, ...] = (str,) if plain else (str, bool, int, float)
    if not all(isinstance(v, allowed) for v in values):
        raise PolicyError(f"{where} is neither a text nor a list of texts.")
    # JSON's true is the text "true" to IAM.
    return tuple(v if isinstance(v, str) else json.dumps(v) for v in values)
