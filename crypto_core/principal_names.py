"""ARNs of principals: STS leaves out the path that IAM has in the ARN of a session's role."""

from __future__ import annotations

import re

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
