"""What CloudTrail proves of an approval: asker and approver, by their own calls of KMS; they are two people.

Asking, approving, denying and using each make a call under the approvals key, whose encryption context names
its purpose, the request, the request's digest and the database. KMS authenticates the caller, CloudTrail
records the context beside the caller and the time, and the account's own event history is asked for it when
an approval is used. Nobody can borrow such a call: it is for one request, and for all that was shown of it.
Rows and entries of the journal prove nothing here, nor do imported events. Times are AWS's alone.

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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from crypto_core.guard.approval_purpose import PURPOSE, Purpose
from crypto_core.guard.approvals import Approval
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.errors import RefusedError
from crypto_core.values.moments import in_utc

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


DELIVERY = "usually within 5 to 15 minutes"


@dataclass(frozen=True, slots=True)
@cleans(identity=512, source_identity=200, event_id=64)
class RecordedCall:
    """A successful call under the approvals key, as CloudTrail delivered it."""

    context: Mapping[str, str]
    identity: CleanText
    at: datetime
    event_id: CleanText
    source_identity: CleanText = NO_TEXT
    """sts:SourceIdentity, which no further role changes."""


@dataclass(frozen=True, slots=True)
class DeliveredCalls:
    calls: tuple[RecordedCall, ...]
    now: datetime


class ApprovalCalls(Protocol):
    def call(self, context: Mapping[str, str]) -> None:
        """Make one call under the approvals key. Raises KmsError, ReadOnlyError."""

    def delivered(self, since: datetime) -> DeliveredCalls:
        """Ask CloudTrail for the calls since a moment. Raises KmsError."""


@dataclass(frozen=True, slots=True)
class Proof:
    """`refused` where CloudTrail contradicts the approval."""

    confirmed: bool
    refused: bool
    words: CleanText


def context_of(purpose: Purpose, request: Approval) -> dict[str, str]:
    return {
        PURPOSE: purpose.value,
        "keydeck:request": str(request.id),
        "keydeck:digest": request.request_digest,
        "keydeck:database": request.database_id,
    }


def proof_of(request: Approval, delivered: DeliveredCalls) -> Proof:
    """Return what the delivered events say of an approval that the row claims."""
    asked = [c for c in _about(request, Purpose.ASK, delivered.calls) if c.identity == request.requested_by]
    if not asked:
        return _waits(f"{request.requested_by}'s request is not delivered yet ({DELIVERY}).")
    first = asked[0]
    end = first.at + (request.expires_at - request.requested_at)
    if delivered.now > end:
        return _refused(f"By AWS's clock it expired at {in_utc(end)}.")
    if denied := _about(request, Purpose.DENY, delivered.calls):
        return _refused(f"{denied[0].identity} denied it at {in_utc(denied[0].at)}.")
    used = [c for c in _about(request, Purpose.USE, delivered.calls) if c.identity == request.requested_by]
    if used:
        return _refused(f"It was used before, at {in_utc(used[0].at)}.")
    approved = [
        call
        for call in _about(request, Purpose.APPROVE, delivered.calls)
        if first.at <= call.at <= end  # seconds: a call within the second of the request counts
    ]
    others = [call for call in approved if not _one_person(first, call)]
    if others:
        by = others[0]
        return Proof(True, False, clean(f"Confirmed by CloudTrail: {by.identity}, {in_utc(by.at)}.", 600))
    if approved:
        by = approved[0]
        return _refused(f"{by.identity} approved it, and is who asked for it, {first.identity}.")
    return _waits(f"{request.decided_by}'s approval is not delivered yet ({DELIVERY}).")


def _about(request: Approval, purpose: Purpose, calls: Iterable[RecordedCall]) -> list[RecordedCall]:
    wanted = context_of(purpose, request)
    return sorted((call for call in calls if call.context == wanted), key=lambda call: call.at)


def _one_person(asker: RecordedCall, approver: RecordedCall) -> bool:
    if asker.source_identity and asker.source_identity == approver.source_identity:
        return True
    try:
        return same_person(asker.identity, approver.identity)
    except RefusedError:  # a caller who names no person is no second one
        return True


def _waits(words: str) -> Proof:
    return Proof(False, False, clean(f"Waiting for CloudTrail: {words}", 600))


def _refused(words: str) -> Proof:
    return Proof(False, True, clean(f"By CloudTrail: {words}", 600))
