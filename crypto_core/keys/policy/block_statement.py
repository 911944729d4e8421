"""The statement by which a key refuses one principal, put beside what a policy says, and found in it again.

A denial outweighs policies, grants and IAM. It goes by the principal's ARN as a condition: that also holds
for a role that is deleted and made again, which a policy's Principal would no longer mean. The platform's own
role, where its credentials were stolen, is refused from anywhere but its own addresses and VPC endpoints.

AWS KMS Developer Guide, "Determining access to AWS KMS keys"; IAM User Guide, "AWS JSON policy elements:
Principal" and "AWS global condition context keys" (aws:PrincipalArn is a session's role; a request through a
VPC endpoint has aws:SourceVpce and no aws:SourceIp; a test by Not… is passed where the key is missing).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from crypto_core.keys.policy.document import Condition, PolicyDocument
from crypto_core.keys.policy.evaluation import KeyCall, is_met
from crypto_core.keys.policy.least_privilege import is_principal
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import RefusedError

_SID = "KeydeckBlocks"
_SERVICE = re.compile(r"[a-z0-9.-]+\.amazonaws\.com(?:\.cn)?")
_SESSION = re.compile(r"arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role/([\w+=,.@-]{1,64})/[\w+=,.@-]{1,64}")
_ENDPOINT = re.compile(r"vpce-[0-9a-f]{8,17}")
MOST_SOURCES = 40
"""So many addresses and endpoints one statement names at most."""


def is_endpoint(source: str) -> bool:
    return _ENDPOINT.fullmatch(source) is not None


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


@dataclass(frozen=True, slots=True)
class BlockStatement:
    """Who is refused: a role, a user, or a session's role, by ARN; and from where it is not refused.

    `only_from` are public addresses, networks as 203.0.113.0/24, and ids of VPC endpoints. Without any it is
    refused from everywhere.
    """

    principal: str
    only_from: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the block that `str` gives."""
        principal, *sources = text.split("|")
        return cls(principal, tuple(sources))

    def __str__(self) -> str:
        """The block as one word, without blanks or commas."""
        return "|".join((self.principal, *self.only_from))

    @property
    def sid(self) -> str:
        """By what its statement is found again. Raises RefusedError for what can't be blocked."""
        return f"{_SID}{hashlib.sha256(arns_of(self.principal)[0].encode()).hexdigest()[:16]}"

    @property
    def but(self) -> str:
        """From where it is not refused, in words; "" for nowhere."""
        return f" from anywhere but {clean(', '.join(self.only_from), 600)}" if self.only_from else ""

    @property
    def elsewhere(self) -> tuple[Condition, ...]:
        """The tests that a call passes which comes from anywhere but there."""
        endpoints = tuple(source for source in self.only_from if is_endpoint(source))
        networks = tuple(source for source in self.only_from if not is_endpoint(source))
        tests = (
            Condition("NotIpAddress", "aws:SourceIp", networks),
            Condition("StringNotEquals", "aws:SourceVpce", endpoints),
        )
        return tuple(test for test in tests if test.values)

    def lets_in(self, address: str, endpoint: str) -> bool:
        """Return whether it does not refuse a call from an address, or through a VPC endpoint."""
        call = KeyCall((self.principal,), address=address, endpoint=endpoint)
        return not all(is_met(test, call) for test in self.elsewhere)

    def statement(self) -> dict[str, Any]:
        """Return the policy's statement. Raises RefusedError for what is no principal or no source."""
        for source in self.only_from:
            if not is_endpoint(source):
                _check_network(source)
        if len(self.only_from) > MOST_SOURCES:
            raise RefusedError(
                f"{len(self.only_from):,} addresses are too many for one statement.",
                remedy=f"Name at most {MOST_SOURCES}; a network such as 203.0.113.0/24 counts as one.",
            )
        conditions: dict[str, Any] = {"ArnLike": {"aws:PrincipalArn": list(arns_of(self.principal))}}
        conditions |= {test.operator: {test.key: list(test.values)} for test in self.elsewhere}
        return {
            "Sid": self.sid,
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": "kms:*",
            "Resource": "*",
            "Condition": conditions,
        }


def _check_network(source: str) -> None:
    """Raise RefusedError unless KMS sees callers at this address or network."""
    try:
        network = ipaddress.ip_network(source)
    except ValueError:
        raise RefusedError(
            f"{clean(source, 60)!r} is neither an address, a network, nor the id of a VPC endpoint.",
            remedy="Write them as 203.0.113.7, 203.0.113.0/24 or vpce-0123456789abcdef0.",
        ) from None
    if network.is_loopback or network.is_link_local or _is_own(network):
        raise RefusedError(
            f"{network} is private: KMS sees such a caller through a VPC endpoint, and goes by that.",
            remedy="Name the endpoint: vpce-0123456789abcdef0.",
        )
    if network.prefixlen < _WIDEST[network.version]:
        raise RefusedError(
            f"{network} is almost everywhere.",
            remedy=f"Name networks of at least /{_WIDEST[network.version]}.",
        )


_OWN = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
_OWN_V6 = ipaddress.ip_network("fc00::/7")
_WIDEST = {4: 8, 6: 24}


def _is_own(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    if isinstance(network, ipaddress.IPv6Network):
        return network.overlaps(_OWN_V6)
    return any(network.overlaps(own) for own in _OWN)


@dataclass(frozen=True, slots=True)
class StandingBlock:
    """What a policy refuses in this way by one statement: patterns of ARNs, and from where it does not."""

    patterns: tuple[str, ...]
    only_from: tuple[str, ...] = ()


def blocked_by(policy: PolicyDocument) -> tuple[StandingBlock, ...]:
    """Return what a policy refuses in this way, in its order."""
    found: list[StandingBlock] = []
    for statement in policy.statements:
        if statement.allows or not statement.sid.startswith(_SID):
            continue
        patterns, sources = list[str](), list[str]()
        for condition in statement.conditions:
            (patterns if condition.key.lower() == "aws:principalarn" else sources).extend(condition.values)
        if patterns:
            found.append(StandingBlock(tuple(patterns), tuple(sources)))
    return tuple(found)


def stands(policy: PolicyDocument, block: BlockStatement) -> bool:
    return block.statement() in _raw(policy)


def with_blocks(policy: PolicyDocument, blocks: Sequence[BlockStatement]) -> dict[str, Any]:
    """Return the policy with these blocks in place of their principals' earlier ones. Raises RefusedError."""
    sids = {block.sid for block in blocks}
    others = [one for one in _raw(policy) if one.get("Sid") not in sids]
    return dict(policy.raw) | {"Statement": [*others, *(block.statement() for block in blocks)]}


def without_block(policy: PolicyDocument, principal: str) -> dict[str, Any]:
    """Return the policy without the statement that refuses a principal. Raises RefusedError."""
    sid = BlockStatement(principal).sid
    left = [one for one in _raw(policy) if one.get("Sid") != sid]
    if len(left) == len(policy.statements):
        blocked = ", ".join(clean(block.patterns[0], 200) for block in blocked_by(policy))
        raise RefusedError(
            f"{clean(principal, 200)} is not blocked on this key.",
            remedy=f"Blocked are: {blocked}." if blocked else "Nobody is.",
        )
    return dict(policy.raw) | {"Statement": left}


def grantees(blocks: Iterable[BlockStatement]) -> frozenset[str]:
    """Return the ARNs of those who are refused from everywhere, as a grant names them."""
    return frozenset(arn for block in blocks if not block.only_from for arn in arns_of(block.principal))


def _raw(policy: PolicyDocument) -> list[Any]:
    raw = policy.raw["Statement"]
    return raw if isinstance(raw, list) else [raw]
