"""What CloudTrail proves of an approval: asker and approver, by their own calls of KMS.

Asking, approving, denying and using each make a call under the approvals key, whose encryption context names
its purpose, the request, the request's digest and the database. KMS authenticates the caller, CloudTrail
records the context beside the caller and the time, and the account's own event history is asked for it when
an approval is used. Nobody can borrow such a call: it is for one request, and for all that was shown of it.
Rows and entries of the journal prove nothing here, nor do imported events. Times are AWS's alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from crypto_core.errors import RefusedError
from crypto_core.guard.approval_purpose import PURPOSE, Purpose
from crypto_core.guard.approvals import Approval
from crypto_core.guard.distinct_people import same_person
from crypto_core.text.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.text.moments import in_utc

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
