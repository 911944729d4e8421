"""What goes wrong on purpose: latency, throttling, injected faults, denied principals.

Key policies and grants decide as in KMS. IAM policies allow every principal everything but what a
`Denial` takes away.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from console.sandbox.endpoint.errors import ServiceError, access_denied, throttled, validation
from console.sandbox.endpoint.principals import ACCOUNT, SandboxPrincipal, vpc_endpoint_of
from console.sandbox.endpoint.records import Record
from console.sandbox.endpoint.scenario import Denial, Fault
from crypto_core.keys.grants import Grant, parse_grant
from crypto_core.keys.policy.actions import POWERS
from crypto_core.keys.policy.document import PolicyDocument, parse_policy
from crypto_core.keys.policy.evaluation import KeyCall, Verdict, decide

if TYPE_CHECKING:
    from moto.kms.models import Key

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


class TokenBucket:
    """Allows `rate` calls a second, and at most one second's worth (at least one call) at once."""

    def __init__(self, rate: float) -> None:
        if rate < 0:
            raise validation(f"A rate can't be negative: {rate}")
        self._rate = rate
        self._burst = max(1.0, rate)
        self._tokens = self._burst if rate > 0 else 0.0
        self._filled = time.monotonic()

    def take_call(self) -> bool:
        now = time.monotonic()
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
        self.expired: set[str] = set()
        """Access key ids whose sessions have run out."""
        self._crypto: TokenBucket | None = None
        self._lookup_rate: float | None = LOOKUPS_PER_SECOND
        self._lookups: dict[str, TokenBucket] = {}

    def clear(self) -> None:
        """Set all as at first: no latency, faults, or denials; LookupEvents limited as in AWS."""
        self.latency = self.lag = 0.0
        self.rules.clear()
        self.denials.clear()
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

    def expire(self, access_key_id: str) -> None:
        self.expired.add(access_key_id)

    def struck(self, operation: str, region: str) -> FaultRule | None:
        return next((rule for rule in self.rules if rule.strikes(operation, region)), None)

    def check_crypto_rate(self) -> None:
        if self._crypto is not None and not self._crypto.take_call():
            raise throttled()

    def check_lookup_rate(self, region: str) -> None:
        if self._lookup_rate is None:
            return
        bucket = self._lookups.get(region)
        if bucket is None:
            bucket = self._lookups[region] = TokenBucket(self._lookup_rate)
        if not bucket.take_call():
            raise ServiceError("ThrottlingException", "Rate exceeded")

    def authorise(self, record: Record, action: str, key: Key | None = None, resource: str = "*") -> None:
        """Raise AccessDeniedException if the key's policy, or a denial, refuses the caller this action."""
        caller = record.identity
        if caller is None:
            return
        if key is not None and (reason := refusal(key, caller, action, record)):
            raise access_denied(caller.arn, action, key.arn, reason)
        if not self.denials:
            return
        names = (resource,) if key is None else (key.arn, key.id, *key.aliases)
        for rule in self.denials:
            if _refuses(rule, caller, action, names):
                reason = rule.reason or f"because no identity-based policy allows the {action} action"
                raise access_denied(caller.arn, action, names[0], reason)


def _refuses(rule: Denial, principal: SandboxPrincipal, action: str, names: tuple[str, ...]) -> bool:
    """Whether the rule speaks about this call; `names` are the resource's ARN, key id and aliases."""
    return (
        fnmatchcase(action.lower(), rule.action.lower())
        and (fnmatchcase(principal.arn, rule.principal) or fnmatchcase(principal.name, rule.principal))
        and any(fnmatchcase(name, rule.resource) for name in names)
    )


def refusal(key: Key, caller: SandboxPrincipal, action: str, record: Record) -> str:
    """Return why the key's policy and grants refuse a call, as AWS's message ends; "" where they don't."""
    if action.removeprefix("kms:") not in POWERS:
        return ""  # about the account, not about a key
    about = key.policy, key.arn, caller.arns, action, record.source_ip
    if key.grants or "kms:encryptioncontext" in key.policy.lower():
        context = (record.request or {}).get(_CONTEXTS.get(action, "encryptionContext")) or {}
        decision = _decision(*about, context, [parse_grant(one.to_json()) for one in key.grants.values()])
    else:
        decision = _known_decision(*about)
    if decision is Verdict.NOT_ALLOWED:
        return f"because no resource-based policy allows the {action} action"
    return str(decision) if decision is Verdict.DENIED else ""


_CONTEXTS = {
    "kms:ReEncryptFrom": "sourceEncryptionContext",
    "kms:ReEncryptTo": "destinationEncryptionContext",
}


def _decision(
    policy: str,
    key_arn: str,
    arns: tuple[str, ...],
    action: str,
    address: str,
    context: Mapping[str, str] = MappingProxyType({}),
    grants: Iterable[Grant] = (),
) -> Verdict:
    endpoint = vpc_endpoint_of(address) or ""
    call = KeyCall(arns, ACCOUNT, action.removeprefix("kms:"), context, address, endpoint)
    return decide(_parsed(policy), grants, call, key_arn)


_known_decision = lru_cache(maxsize=1024)(_decision)
"""A run makes tens of thousands of calls about which only these can be asked."""


@lru_cache(maxsize=64)
def _parsed(policy: str) -> PolicyDocument:
    return parse_policy(policy)
