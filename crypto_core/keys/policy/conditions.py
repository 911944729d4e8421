"""Which conditions keep a statement from being for everyone it names, and to whom they leave it.

AWS KMS Developer Guide, "Condition keys for AWS KMS"; IAM User Guide, "AWS global condition context keys" and
"IAM JSON policy elements: Condition operators". A test narrows only where a request without the key, or with
any value, would fail it: `…IfExists` and `ForAllValues:` let a request without the key pass, and a pattern
such as `o-*` is met by everyone's.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from crypto_core.keys.policy.document import Condition, Statement
from crypto_core.values.clean_text import clean


class Bound(StrEnum):
    ACCOUNT = "account"
    PRINCIPAL = "principal"
    ORGANISATION = "organisation"
    SERVICE = "service"
    SOURCE = "source"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Callers are only those of these accounts, services, …"""

    bound: Bound
    values: tuple[str, ...]
    condition: Condition

    @property
    def accounts(self) -> frozenset[str]:
        return frozenset(a for v in self.values if (a := account_of(v)))

    def __str__(self) -> str:
        values = " or ".join(clean(v, 200) for v in self.values)
        return {
            Bound.ACCOUNT: f"only from account {values}",
            Bound.PRINCIPAL: f"only as {values}",
            Bound.ORGANISATION: f"only within organization {values}",
            Bound.SERVICE: f"only through {values}",
            Bound.SOURCE: f"only on behalf of {values}",
            Bound.NETWORK: f"only from network {values}",
        }[self.bound]


def account_of(value: str) -> str | None:
    """Return the account that an id or ARN is of, None where it doesn't say."""
    if _ACCOUNT.fullmatch(value):
        return value
    parts = value.split(":", 5)
    return parts[4] if len(parts) == 6 and _ACCOUNT.fullmatch(parts[4]) else None


_ACCOUNT = re.compile(r"[0-9]{12}")


_LEAST_PREFIX = {4: 8, 6: 16}
"""Shorter prefixes are no narrowing: a few of them are all the world."""


def _account(value: str) -> bool:
    return _ACCOUNT.fullmatch(value) is not None


def _arn(value: str) -> bool:
    """True for an ARN of one account, or of a resource that has none in its ARN and is named whole."""
    parts = value.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return False
    account, resource = parts[4], parts[5]
    return _account(account) or (account == "" and bool(resource) and resource[0] not in "*?")


def _organisation(value: str) -> bool:
    return re.match(r"o-[a-z0-9]{10,32}(?:/|$)", value) is not None


def _service(value: str) -> bool:
    return bool(value) and value.split(".", 1)[0].strip("*?") != ""


def _network(value: str) -> bool:
    """True for a VPC or endpoint by name, and for less than a 256th of the Internet's addresses."""
    if not value or "*" in value:
        return False
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return True
    return network.prefixlen >= _LEAST_PREFIX[network.version]


_KEYS: dict[str, tuple[Bound, Callable[[str], bool]]] = {
    "kms:calleraccount": (Bound.ACCOUNT, _account),
    "aws:principalaccount": (Bound.ACCOUNT, _account),
    "aws:sourceaccount": (Bound.SOURCE, _account),
    "aws:sourceowner": (Bound.SOURCE, _account),
    "aws:sourcearn": (Bound.SOURCE, _arn),
    "aws:principalarn": (Bound.PRINCIPAL, _arn),
    "aws:userid": (Bound.PRINCIPAL, lambda v: len(v.split(":")[0].strip("*?")) >= 12),
    "aws:principalorgid": (Bound.ORGANISATION, _organisation),
    "aws:principalorgpaths": (Bound.ORGANISATION, _organisation),
    "aws:sourceorgid": (Bound.ORGANISATION, _organisation),
    "aws:sourceorgpaths": (Bound.ORGANISATION, _organisation),
    "kms:viaservice": (Bound.SERVICE, _service),
    "aws:calledvia": (Bound.SERVICE, _service),
    "aws:calledviafirst": (Bound.SERVICE, _service),
    "aws:calledvialast": (Bound.SERVICE, _service),
    "aws:principalservicename": (Bound.SERVICE, _service),
    "aws:sourcevpc": (Bound.NETWORK, _network),
    "aws:sourcevpce": (Bound.NETWORK, _network),
    "aws:sourceip": (Bound.NETWORK, _network),
    "aws:vpcsourceip": (Bound.NETWORK, _network),
}
"""Condition keys that say who is calling, and which values of theirs are not everybody's."""
_ALWAYS_THERE = frozenset({"kms:calleraccount", "aws:principalaccount", "aws:principalarn", "aws:userid"})
"""Keys that every signed request has, so that `…IfExists` changes nothing."""
_EQUAL = ("stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike", "ipaddress")
_UNEQUAL = (
    "stringnotequals",
    "stringnotequalsignorecase",
    "stringnotlike",
    "arnnotequals",
    "arnnotlike",
    "notipaddress",
)


def narrowings(statement: Statement, denials: Iterable[Statement] = ()) -> tuple[Narrowing, ...]:
    """Return what binds the callers of an Allow statement, each by itself; none: anyone it names.

    `denials` are the policy's Deny statements. One that denies everyone who is not of some account,
    organization, … binds them as well.
    """
    found = [n for c in statement.conditions if (n := _narrowing(c, _EQUAL)) is not None]
    for denial in denials:
        if _is_fence(denial) and statement.covers <= denial.covers:
            # Its tests hold together: who fails one of them is let through.
            fences = [_narrowing(c, _UNEQUAL) for c in denial.conditions]
            if len(fences) == 1 and fences[0] is not None:
                found.append(fences[0])
    return tuple(dict.fromkeys(found))


def _is_fence(denial: Statement) -> bool:
    everyone = any(p.is_everyone for p in denial.principals) and not denial.all_principals_but
    return not denial.allows and everyone and bool(denial.conditions)


def _narrowing(condition: Condition, operators: tuple[str, ...]) -> Narrowing | None:
    operator, key = condition.operator.lower(), condition.key.lower()
    if key not in _KEYS or not condition.values:
        return None
    negated = operators is _UNEQUAL
    if operator.startswith("forallvalues:") and not negated:
        return None
    operator = operator.removeprefix("foranyvalue:").removeprefix("forallvalues:")
    if operator.endswith("ifexists"):
        if key not in _ALWAYS_THERE and not negated:
            return None
        operator = operator.removesuffix("ifexists")
    bound, is_narrow = _KEYS[key]
    # Without "like", a star is a star: it is nobody's value, so the test narrows to nobody.
    literal = operator in ("stringequals", "stringequalsignorecase", "stringnotequals")
    narrow = all(is_narrow(v) or (literal and "*" in v) for v in condition.values)
    if operator not in operators or not narrow:
        return None
    return Narrowing(bound, condition.values, condition)
