"""Whether two AWS identities are two people, as far as AWS can tell.

AWS says who calls by an ARN (STS API reference, GetCallerIdentity): an IAM user, a role's session, the
account itself. It authenticates who may begin a role's session, but the session's name is chosen by whoever
begins it, unless a trust policy demands one (condition key sts:RoleSessionName) or IAM Identity Center sets
it, as it does for people. So:

- One user is one person, on however many consoles.
- Two sessions of one role are two people if their names differ: assumed-role/oncall/ana and …/ben.
- Two sessions, or a user and a session, of one name are one person, whatever the roles: nobody becomes a
  second person by assuming another role.
- A name that a tool or a machine has made up names nobody: it neither asks for approval nor gives it.

This can't tell a person with two users, or one who is free to choose session names: let roles that may
approve demand names (sts:RoleSessionName set to ${aws:username}), or take them from the identity provider.
"""

from __future__ import annotations

import re

from crypto_core.errors import RefusedError

_ARN = re.compile(
    r"arn:aws[a-z-]*:(?:iam::\d{12}:(?:user/(?:\S+/)?(?P<user>[^/\s]+)|(?P<root>root))"
    r"|sts::\d{12}:(?:assumed-role/[^/\s]+/(?P<session>[^/\s]+)|federated-user/(?P<federated>[^/\s]+)))"
)
_MADE_UP = re.compile(
    r"botocore-session-\d+|aws-?cli-session-\d+|aws-go-sdk-\d+|aws-sdk-[\w-]+-\d+|i-[0-9a-f]{8,17}|\d{10,}",
    re.IGNORECASE,
)
"""Session names that SDKs generate by default, and those of EC2 instances."""

_NAMED = (
    "Set role_session_name to your own name in the AWS profile (or sign in by IAM Identity Center), and try "
    "again."
)


def person_of(arn: str) -> str:
    """Return the name of the person behind an identity's ARN, for comparing.

    Raises RefusedError where the identity isn't known, or its name is nobody's.
    """
    found = _ARN.fullmatch(arn)
    if found is None:
        raise RefusedError(
            "AWS does not say who you are: what needs a second identity can't be asked for or approved.",
            remedy="Check the credentials and AWS_ENDPOINT_URL: aws sts get-caller-identity.",
        )
    name = found["user"] or found["session"] or found["federated"] or found["root"]
    if found["session"] and _MADE_UP.fullmatch(name):
        raise RefusedError(f"The session {arn} names no person.", remedy=_NAMED)
    return name.casefold()


def same_person(arn: str, other: str) -> bool:
    """Return whether two identities must be taken for one person. Raises RefusedError as `person_of`."""
    return arn == other or person_of(arn) == person_of(other)
