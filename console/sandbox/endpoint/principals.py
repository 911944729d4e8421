"""Who is calling: principals by access key id.

The gate doesn't check signatures; it believes the access key id in the request's SigV4 credential. Keys
that moto issued (`sts:AssumeRole`, `iam:CreateAccessKey`) are the role session or user they were issued
to. An access key id nobody knows is an IAM user of that name, so a test that signs with `testing` acts
as `user/testing` and may do everything.
"""

import base64
import hashlib
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from console.sandbox.access_keys import ANALYST, INTRUDER, ON_CALL, OPERATOR, PLATFORM
from console.sandbox.endpoint.errors import validation

ACCOUNT = "123456789012"

VPC_ENDPOINT = "vpce-0a1b2c3d4e5f60718"
"""The endpoint of the platform's network: what comes from private addresses comes through it."""
_PRIVATE = ipaddress.ip_network("10.0.0.0/8")


def vpc_endpoint_of(address: str) -> str | None:
    """Return the VPC endpoint through which a caller's address comes, None for none."""
    try:
        return VPC_ENDPOINT if ipaddress.ip_address(address) in _PRIVATE else None
    except ValueError:
        return None


_TYPE_OF_KIND = {"role": "AssumedRole", "user": "IAMUser"}


@dataclass(frozen=True, slots=True)
class SandboxPrincipal:
    """A role session or an IAM user. `name` is the role's or user's; `session` is None for users."""

    name: str
    kind: Literal["role", "user"]
    session: str | None = None
    mfa: bool = False

    @property
    def arn(self) -> str:
        if self.kind == "user":
            return f"arn:aws:iam::{ACCOUNT}:user/{self.name}"
        return f"arn:aws:sts::{ACCOUNT}:assumed-role/{self.name}/{self.session}"

    @property
    def arns(self) -> tuple[str, ...]:
        """What policies can name it by: a user's ARN; a session's, and its role's."""
        if self.kind == "user":
            return (self.arn,)
        return (self.arn, f"arn:aws:iam::{ACCOUNT}:role/{self.name}")

    @property
    def user_name(self) -> str:
        """What LookupEvents calls Username: the session's name for a role."""
        return self.session or self.name

    @property
    def principal_id(self) -> str:
        """The unique id: `AIDA…` for a user, `AROA…:session` for a role."""
        return self._unique_id() + (f":{self.session}" if self.session else "")

    def user_identity(self, access_key_id: str, at: float) -> dict[str, Any]:
        """CloudTrail's `userIdentity` for a call at `at` (epoch seconds).

        https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
        """
        identity: dict[str, Any] = {
            "type": _TYPE_OF_KIND[self.kind],
            "principalId": self.principal_id,
            "arn": self.arn,
            "accountId": ACCOUNT,
            "accessKeyId": access_key_id,
        }
        if self.kind == "user":
            identity["userName"] = self.name
            return identity
        session_start = datetime.fromtimestamp(at - at % 3600, UTC)
        identity["sessionContext"] = {
            "sessionIssuer": {
                "type": "Role",
                "principalId": self._unique_id(),
                "arn": self.arns[-1],
                "accountId": ACCOUNT,
                "userName": self.name,
            },
            "webIdFederationData": {},
            "attributes": {
                "creationDate": session_start.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "mfaAuthenticated": "true" if self.mfa else "false",
            },
        }
        return identity

    def _unique_id(self) -> str:
        digest = hashlib.sha256(f"{self.kind}/{self.name}".encode()).digest()
        return ("AIDA" if self.kind == "user" else "AROA") + base64.b32encode(digest).decode()[:17]


BUILT_IN = {
    PLATFORM: SandboxPrincipal("keydeck-platform", "role", session="platform-api"),
    OPERATOR: SandboxPrincipal("keydeck-operator", "role", session="olga.operator", mfa=True),
    ON_CALL: SandboxPrincipal("keydeck-oncall", "role", session="omar.oncall", mfa=True),
    ANALYST: SandboxPrincipal("keydeck-analyst", "user"),
    INTRUDER: SandboxPrincipal("intruder", "user"),
}


class PrincipalDirectory:
    """Access key id to principal: the built-in table, what control added, then what moto issued."""

    def __init__(self, issued: Callable[[str], SandboxPrincipal | None]) -> None:
        self._known = dict(BUILT_IN)
        self.addresses: dict[str, str] = {}
        """Where calls come from, by access key id; else from where they really do."""
        self._strangers: dict[str, SandboxPrincipal] = {}
        self._issued = issued

    def of(self, access_key_id: str) -> SandboxPrincipal:
        """Return the principal of an access key id; unknown ids are users of that name."""
        principal = self._known.get(access_key_id) or self._strangers.get(access_key_id)
        if principal is None:
            principal = self._issued(access_key_id)
            if principal is not None:
                self._known[access_key_id] = principal
                return principal
            if len(self._strangers) >= 1000:
                self._strangers.clear()
            principal = self._strangers[access_key_id] = SandboxPrincipal(
                access_key_id or "anonymous", "user"
            )
        return principal

    def add(self, access_key_id: str, name: str, kind: str, session: str | None) -> SandboxPrincipal:
        """Register a principal; a role without a session name gets its access key id as one."""
        if kind == "role":
            principal = SandboxPrincipal(name, "role", session=session or access_key_id)
        elif kind == "user":
            principal = SandboxPrincipal(name, "user")
        else:
            raise validation(f"A principal's kind is 'role' or 'user', not {kind!r}")
        self._known[access_key_id] = principal
        self._strangers.pop(access_key_id, None)
        return principal

    def forget_strangers(self) -> None:
        """Ask moto again about unknown access keys, because it may have issued one since."""
        self._strangers.clear()
