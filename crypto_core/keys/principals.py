"""Principals as key policies and grants name them: who is meant, their ARNs, and patterns of them.

STS leaves out the path that IAM has in the ARN of a session's role. In a pattern of IAM's `*` stands for any
characters, `?` for one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from crypto_core.values.clean_text import clean


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Stars side by side mean one, and cost the matcher its time.
    squeezed = re.sub(r"\*+", "*", pattern)
    written = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in squeezed)
    return re.compile(written, re.DOTALL)


def like(pattern: str, text: str) -> bool:
    """Return whether a text is of a pattern, with regard to case."""
    return _compiled(pattern).fullmatch(text) is not None


SESSION = re.compile(
    r"arn:(?P<partition>[a-z0-9-]+):sts::(?P<account>[0-9]{12})"
    r":assumed-role/(?P<role>[^/]+)/(?P<session>.+)"
)
_SERVICE_LINKED = re.compile(r"arn:[a-z0-9-]+:iam::[0-9]{12}:role/(?:[^:]*/)?AWSServiceRoleFor[^/:]*")


def is_of(identity: str, principal: str) -> bool:
    """True if an identity is a principal, or a session of the role that the principal is; by their ARNs."""
    if identity == principal:
        return True
    session = SESSION.fullmatch(identity)
    if session is None:
        return False
    prefix = f"arn:{session['partition']}:iam::{session['account']}:role/"
    return principal.startswith(prefix) and principal.rsplit("/", 1)[-1] == session["role"]


def is_service_linked(principal: str) -> bool:
    """True for a role that is named as AWS services name theirs. IAM User Guide, "Service-linked roles"."""
    return _SERVICE_LINKED.fullmatch(principal) is not None


@dataclass(frozen=True, slots=True)
class PolicyPrincipal:
    """Whom a statement is about. `kind` is AWS, Service, Federated or CanonicalUser, as in the policy."""

    kind: str
    value: str

    @property
    def is_everyone(self) -> bool:
        """True for `*`: anybody on earth with AWS credentials, and anonymous callers."""
        return self.value == "*"

    @property
    def account(self) -> str | None:
        if self.kind != "AWS":
            return None
        if self.value.isascii() and self.value.isdigit():
            return self.value
        parts = self.value.split(":")
        return parts[4] if len(parts) >= 6 and parts[0] == "arn" and parts[4] else None

    @property
    def is_account(self) -> bool:
        """True for an account as a whole: then its own IAM policies say who of it."""
        return self.account is not None and (self.value == self.account or self.value.endswith(":root"))

    @property
    def is_gone(self) -> bool:
        """True for the bare id that IAM leaves in a policy when a user or role is deleted."""
        return self.kind == "AWS" and self.value[:4] in ("AIDA", "AROA", "AGPA")

    @property
    def name(self) -> str:
        if self.is_everyone:
            return "everyone"
        if self.is_account:
            return f"account {self.account}"
        if self.is_gone:
            return f"{clean(self.value, 40)} (deleted)"
        if self.kind == "AWS" and self.account:
            return clean(self.value.split(":", 5)[5], 200)
        return clean(self.value, 200)

    def seen_from(self, account: str | None) -> str:
        """The principal as it reads in an account; whose it is, if it is of another one."""
        if account is None or self.is_account or self.account in (None, account):
            return self.name
        return f"{self.name} of account {self.account}"
