"""What goes wrong on purpose: latency, throttling, injected faults, denied principals."""

from __future__ import annotations

import base64
import ipaddress
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from console.sandbox.endpoint.errors import ServiceError, access_denied, throttled, validation
from console.sandbox.endpoint.principals import ACCOUNT, SandboxPrincipal, vpc_endpoint_of
from console.sandbox.endpoint.records import Record
from console.sandbox.endpoint.scenario import Denial, Fault

if TYPE_CHECKING:
    from moto.kms.models import Key

    from crypto_core.keys.policy.document import Condition, PolicyDocument, Statement
    from crypto_core.keys.principal import PolicyPrincipal as Named

RESET = "reset"
HANG = "hang"
HALF = "half"
WRONG_ANSWERS = ("another bit", "another blob", "another key")
LOOKUPS_PER_SECOND = 2.0

_STATUS = {
    "KMSInternalException": 500,
    "KeyUnavailableException": 500,
    "DependencyTimeoutException": 503,
    "InternalFailure": 500,
    "ServiceUnavailable": 503,
    "NotImplemented": 501,
}
_MESSAGES = {
    "KMSInternalException": "An internal error occurred. The request can be retried.",
    "KeyUnavailableException": "The specified KMS key was not available. The request can be retried.",
    "DependencyTimeoutException": "The system timed out while trying to fulfill the request.",
    "ThrottlingException": "Rate exceeded",
    "ExpiredTokenException": "The security token included in the request is expired",
}
_CONTEXT = "kms:encryptioncontext:"


class TokenBucket:
    """Allows `rate` calls a second, and at most one second's worth (at least one call) at once."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        if rate < 0:
            raise validation(f"A rate can't be negative: {rate}")
        self._rate = rate
        self._burst = max(1.0, rate)
        self._tokens = self._burst if rate > 0 else 0.0
        self._clock = clock
        self._filled = clock()

    def take_call(self) -> bool:
        """Take one call from the bucket; False when it is empty."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(slots=True)
class FaultRule:
    """A fault, and how many calls it may still make fail (None: no limit)."""

    fault: Fault
    remaining: int | None
    blob: str = ""
    """The ciphertext that others get as well."""

    def strikes(self, operation: str, region: str) -> bool:
        """Decide for one call, counting it when it fails."""
        fault = self.fault
        if self.remaining == 0 or not fnmatchcase(operation, fault.operation):
            return False
        if not fnmatchcase(region, fault.region):
            return False
        if fault.fraction < 1 and random.random() >= fault.fraction:  # noqa: S311 (not a secret)
            return False
        if self.remaining is not None:
            self.remaining -= 1
        return True

    def answer(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return KMS's answer, wrong in the way of this rule as far as it has what is wrong."""
        match self.fault.error:
            case "another bit" if "Plaintext" in document:
                plaintext = bytearray(base64.b64decode(document["Plaintext"]))
                plaintext[len(plaintext) // 2] ^= 1
                return document | {"Plaintext": base64.b64encode(plaintext).decode()}
            case "another blob" if "CiphertextBlob" in document:
                self.blob = self.blob or document["CiphertextBlob"]
                return document | {"CiphertextBlob": self.blob}
            case "another key" if "KeyId" in document:
                return document | {"KeyId": self.fault.message}
        return document

    def as_error(self) -> ServiceError:
        """Return the AWS error this rule answers with."""
        error = self.fault.error
        message = self.fault.message or _MESSAGES.get(error, "Injected by the sandbox.")
        return ServiceError(error, message, _STATUS.get(error, 400))


class Faults:
    """Everything that control can make go wrong; `clear` makes it well again."""

    def __init__(self) -> None:
        self.latency = 0.0
        self.lag = 0.0
        """Seconds that pass before LookupEvents knows of a call."""
        self.rules: list[FaultRule] = []
        self.denials: list[Denial] = []
        self.held: set[str] = set()
        """Principals, by globs of their names, who may only do what a key's policy and grants let through."""
        self.expired: set[str] = set()
        """Access key ids whose sessions have run out."""
        self._crypto: TokenBucket | None = None
        self._lookup_rate: float | None = LOOKUPS_PER_SECOND
        self._lookups: dict[str, TokenBucket] = {}

    def clear(self) -> None:
        """Set all as at first: no latency, faults, denials or holds; LookupEvents limited as in AWS."""
        self.latency = self.lag = 0.0
        self.rules.clear()
        self.denials.clear()
        self.held.clear()
        self.expired.clear()
        self._crypto = None
        self.throttle_lookups(LOOKUPS_PER_SECOND)

    def delay(self, milliseconds: float) -> None:
        self.latency = milliseconds / 1000

    def delay_delivery(self, seconds: float) -> None:
        self.lag = seconds

    def throttle(self, rate: float | None) -> None:
        self._crypto = None if rate is None else TokenBucket(rate)

    def throttle_lookups(self, rate: float | None) -> None:
        if rate is not None and rate < 0:
            raise validation(f"A rate can't be negative: {rate}")
        self._lookup_rate = rate
        self._lookups.clear()

    def add(self, fault: Fault) -> None:
        """Add a fault. Raises ValidationException for a fraction outside 0 to 1 or a negative count."""
        if not 0 <= fault.fraction <= 1:
            raise validation(f"A fault's fraction is between 0 and 1, not {fault.fraction}")
        if fault.count is not None and fault.count < 0:
            raise validation(f"A fault's count can't be negative: {fault.count}")
        self.rules.append(FaultRule(fault, fault.count))

    def hold(self, principal: str) -> None:
        """Hold principals, by a glob of their names, to what key policies and grants let through."""
        self.held.add(principal)

    def expire(self, access_key_id: str) -> None:
        self.expired.add(access_key_id)

    def struck(self, operation: str, region: str) -> FaultRule | None:
        """Return the fault that hits this call, if one does."""
        return next((rule for rule in self.rules if rule.strikes(operation, region)), None)

    def check_crypto_rate(self) -> None:
        """Raise ThrottlingException when the KMS request quota is used up."""
        if self._crypto is not None and not self._crypto.take_call():
            raise throttled()

    def check_lookup_rate(self, region: str) -> None:
        """Raise ThrottlingException when LookupEvents was called too often in this Region."""
        if self._lookup_rate is None:
            return
        bucket = self._lookups.get(region)
        if bucket is None:
            bucket = self._lookups[region] = TokenBucket(self._lookup_rate)
        if not bucket.take_call():
            raise ServiceError("ThrottlingException", "Rate exceeded")

    def authorise(self, record: Record, action: str, key: Key | None = None, resource: str = "*") -> None:
        """Raise AccessDeniedException if a rule, or the key, refuses the record's principal this action."""
        if record.identity is None:
            return
        who = record.identity
        context = (record.request or {}).get("encryptionContext") or {}
        if key is not None and self.is_held(who) and not allows(key, who, action, record.source_ip, context):
            reason = f"because no resource-based policy allows the {action} action"
            raise access_denied(record.identity.arn, action, key.arn, reason)
        if not self.denials:
            return
        names = (resource,) if key is None else (key.arn, key.id, *key.aliases)
        for rule in self.denials:
            if _refuses(rule, record.identity, action, names):
                reason = rule.reason or f"because no identity-based policy allows the {action} action"
                raise access_denied(record.identity.arn, action, names[0], reason)

    def is_held(self, principal: SandboxPrincipal) -> bool:
        """Whether key policies and grants decide what a principal may do."""
        return any(fnmatchcase(principal.name, name) for name in self.held)


def _refuses(rule: Denial, principal: SandboxPrincipal, action: str, names: tuple[str, ...]) -> bool:
    """Whether the rule speaks about this call; `names` are the resource's ARN, key id and aliases."""
    return (
        fnmatchcase(action.lower(), rule.action.lower())
        and (fnmatchcase(principal.arn, rule.principal) or fnmatchcase(principal.name, rule.principal))
        and any(fnmatchcase(name, rule.resource) for name in names)
    )


def allows(
    key: Key, caller: SandboxPrincipal, action: str, address: str, context: Mapping[str, str] | None = None
) -> bool:
    """Whether `caller` may do `action`, such as kms:Decrypt, with the key, from an address.

    `context` is the call's encryption context. A denial outweighs all else. Whoever isn't held to the key's
    policy and grants may do everything, as the sandbox's operators shall. A statement that names the account
    leaves the decision to IAM, and the IAM policies of those who are held allow all of KMS.
    AWS KMS Developer Guide, "Determining access to AWS KMS keys" and "Grants in AWS KMS".
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
