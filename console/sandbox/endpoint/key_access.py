"""Whether a key's policy and grants let a principal do something, for principals that are held to them.

AWS KMS Developer Guide, "Determining access to AWS KMS keys" and "Grants in AWS KMS". Whoever isn't held to
them may do everything, as the sandbox's operators shall. A statement that names the account as a whole leaves
the decision to IAM: the IAM policies of those who are held here allow all of KMS.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from console.sandbox.endpoint.principals import ACCOUNT, SandboxPrincipal, vpc_endpoint_of

if TYPE_CHECKING:
    from moto.kms.models import Key

    from crypto_core.keys.policy.document import Condition, PolicyDocument, Statement
    from crypto_core.keys.principal import PolicyPrincipal as Named


_CONTEXT = "kms:encryptioncontext:"


def allows(
    key: Key, caller: SandboxPrincipal, action: str, address: str, context: Mapping[str, str] | None = None
) -> bool:
    """Whether `caller` may do `action`, such as kms:Decrypt, with the key, from an address.

    `context` is the call's encryption context. A denial outweighs all else.
    """
    name = action.partition(":")[2]
    about = [
        statement
        for statement in _parsed(key.policy).statements
        if statement.applies_to(key.arn)
        and name in statement.covers
        and _names(statement, caller, address, context or {})
    ]
    if any(not statement.allows for statement in about):
        return False
    return bool(about) or any(
        name in grant.operations and grant.grantee_principal in _arns(caller) for grant in key.grants.values()
    )


@lru_cache(maxsize=64)
def _parsed(policy: str) -> PolicyDocument:
    from crypto_core.keys.policy.document import parse_policy

    return parse_policy(policy)


def _arns(caller: SandboxPrincipal) -> tuple[str, ...]:
    """The session, and the role whose session it is."""
    if caller.kind == "user":
        return (caller.arn,)
    return (caller.arn, f"arn:aws:iam::{ACCOUNT}:role/{caller.name}")


def _names(statement: Statement, caller: SandboxPrincipal, address: str, context: Mapping[str, str]) -> bool:
    named = any(_is(principal, caller) for principal in statement.principals)
    return named is not statement.all_principals_but and all(
        _met(c, caller, address, context) for c in statement.conditions
    )


def _is(principal: Named, caller: SandboxPrincipal) -> bool:
    if principal.is_everyone or (principal.is_account and principal.account == ACCOUNT):
        return True
    return principal.value in _arns(caller)


def _met(condition: Condition, caller: SandboxPrincipal, address: str, context: Mapping[str, str]) -> bool:
    """Whether a call passes a test. Only who calls, from where and with what context can be tested.

    What comes through a VPC endpoint has that, and no address. A test by Not… is passed without a value.
    """
    from crypto_core.keys.policy.patterns import like

    endpoint = vpc_endpoint_of(address)
    is_met: Callable[[str, str], bool] = like
    match condition.key.lower():
        case "kms:calleraccount" | "aws:principalaccount":
            values: tuple[str, ...] = (ACCOUNT,)
        case "aws:principalarn":
            values = _arns(caller)
        case "aws:sourceip":
            values, is_met = () if endpoint else (address,), _is_within
        case "aws:sourcevpce":
            values = (endpoint,) if endpoint else ()
        case name if name.startswith(_CONTEXT):
            values = tuple(value for key, value in context.items() if key.lower() == name[len(_CONTEXT) :])
        case _:
            return False
    met = any(is_met(wanted, value) for wanted in condition.values for value in values)
    return met is not ("not" in condition.operator.lower())


def _is_within(network: str, address: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network)
