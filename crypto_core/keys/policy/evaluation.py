"""Whether a key's policy and grants let one call through, as KMS decides it.

AWS KMS Developer Guide, "Determining access to AWS KMS keys" and "Grants in AWS KMS"; IAM User Guide, "Policy
evaluation logic" and "IAM JSON policy elements: Condition operators".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from crypto_core.keys.grants import Grant
from crypto_core.keys.policy.document import Condition, PolicyDocument, Statement
from crypto_core.keys.principals import PolicyPrincipal, like

_CONTEXT = "kms:encryptioncontext:"


class Verdict(StrEnum):
    """What became of a call; a refusal's value is the end of AWS's message."""

    ALLOWED = "allowed"
    LEFT_TO_IAM = "left to the account's IAM policies"
    DENIED = "with an explicit deny in a resource-based policy"
    NOT_ALLOWED = "because no resource-based policy allows the action"


@dataclass(frozen=True, slots=True)
class KeyCall:
    """One call on a key, with what policies can ask about it."""

    arns: tuple[str, ...]
    """The caller's: a user's, or a session's and then its role's."""
    account: str = ""
    action: str = ""
    context: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    endpoint: str = ""
    """The VPC endpoint through which it came: then it has no address."""

    def values(self, key: str) -> tuple[str, ...]:
        """Return the values of a condition key; none where the call doesn't have it."""
        match key.lower():
            case "kms:calleraccount" | "aws:principalaccount":
                return (self.account,)
            case "aws:principalarn":
                return self.arns[-1:]
            case "aws:sourceip":
                return (self.address,) if self.address and not self.endpoint else ()
            case "aws:sourcevpce":
                return (self.endpoint,) if self.endpoint else ()
            case name if name.startswith(_CONTEXT):
                asked = name.removeprefix(_CONTEXT)
                return tuple(value for given, value in self.context.items() if given.lower() == asked)
            case _:
                return ()


def decide(policy: PolicyDocument, grants: Iterable[Grant], call: KeyCall, key_arn: str = "*") -> Verdict:
    """Return what a key's policy and grants make of a call. A denial outweighs all else."""
    about = [statement for statement in policy.statements if covers(statement, call, key_arn)]
    if any(not statement.allows for statement in about):
        return Verdict.DENIED
    if any(_names_caller(statement, call) for statement in about) or any(_grants(g, call) for g in grants):
        return Verdict.ALLOWED
    return Verdict.LEFT_TO_IAM if about else Verdict.NOT_ALLOWED


def covers(statement: Statement, call: KeyCall, key_arn: str = "*") -> bool:
    named = any(_is_caller(principal, call) for principal in statement.principals)
    return (
        named is not statement.all_principals_but
        and call.action in statement.covers
        and statement.applies_to(key_arn)
        and all(is_met(condition, call) for condition in statement.conditions)
    )


def is_met(condition: Condition, call: KeyCall) -> bool:
    """Return whether a call passes a condition.

    A call without a value passes the tests by Not…, …IfExists and ForAllValues.
    """
    operator = condition.operator.lower()
    values = call.values(condition.key)
    if operator == "null":
        return ("true" in condition.values) is not bool(values)
    is_negated = "not" in operator
    if not values:
        return is_negated or operator.startswith("forallvalues:") or operator.endswith("ifexists")
    plain = operator.rpartition(":")[2].removesuffix("ifexists").replace("not", "", 1)
    is_like = _OPERATORS.get(plain)
    met = is_like is not None and any(is_like(w, v) for w in condition.values for v in values)
    return met is not is_negated


def _is_caller(principal: PolicyPrincipal, call: KeyCall) -> bool:
    if principal.is_everyone:
        return True
    return principal.account == call.account if principal.is_account else principal.value in call.arns


def _names_caller(statement: Statement, call: KeyCall) -> bool:
    """Whether it means the caller, or everyone, and not the account whose IAM policies decide."""
    return statement.all_principals_but or any(
        _is_caller(principal, call) and not principal.is_account for principal in statement.principals
    )


def _grants(grant: Grant, call: KeyCall) -> bool:
    given = set(call.context.items())
    for kind, pairs in grant.constraints.items():
        asked = set(pairs.items())
        if given != asked if kind == "EncryptionContextEquals" else not asked <= given:
            return False
    return call.action in grant.operations and grant.grantee.value in call.arns


def _is_within(network: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "stringequals": str.__eq__,
    "stringequalsignorecase": lambda wanted, value: wanted.lower() == value.lower(),
    "stringlike": like,
    "arnequals": like,
    "arnlike": like,
    "ipaddress": _is_within,
}
"""Each without "not"."""
