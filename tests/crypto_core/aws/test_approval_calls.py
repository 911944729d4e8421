"""Which of CloudTrail's records are calls under the approvals key, and what they prove."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from crypto_core.aws.approval_calls import KmsApprovalCalls
from crypto_core.guard.approval_proof import DeliveredCalls, RecordedCall, context_of, proof_of
from crypto_core.guard.approval_purpose import Purpose
from crypto_core.guard.approvals import Approval, Decision
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KmsError, KmsRequestError, KmsThrottledError

KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ANA = "arn:aws:sts::123456789012:assumed-role/keydeck-operator/ana"
BEN = "arn:aws:sts::123456789012:assumed-role/keydeck-approver/ben"
NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
RECORD: Mapping[str, Any] = {
    "userIdentity": {"type": "AssumedRole", "arn": BEN, "accountId": "123456789012"},
    "eventTime": "2026-12-01T12:05:00Z",
    "eventSource": "kms.amazonaws.com",
    "eventName": "GenerateDataKeyWithoutPlaintext",
    "awsRegion": "eu-west-1",
    "requestParameters": {"keyId": KEY, "encryptionContext": {"keydeck:purpose": "approve"}},
    "eventID": "11111111-1111-1111-1111-111111111111",
    "resources": [{"accountId": "123456789012", "type": "AWS::KMS::Key", "ARN": KEY}],
    "eventType": "AwsApiCall",
    "recipientAccountId": "123456789012",
}


class Kms:
    """CloudTrail's answers, one after the other."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Mapping[str, Any]] = []

    def read(self, service: str, operation: str, *, region: str, **parameters: Any) -> Any:
        self.asked.append({"operation": f"{service}:{operation}", "region": region, **parameters})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(*records: Any, **more: Any) -> dict[str, Any]:
    texts = [one if isinstance(one, str) else json.dumps(one) for one in records]
    headers = {"date": "Tue, 01 Dec 2026 12:10:00 GMT"}
    return {"Events": [{"CloudTrailEvent": text} for text in texts]} | {
        "ResponseMetadata": {"HTTPHeaders": headers},
        **more,
    }


def delivered(*answers: Any) -> DeliveredCalls:
    kms = Kms(*answers)
    return KmsApprovalCalls(kms, KEY, lambda _: None).delivered(NOON)  # type: ignore[arg-type]


def test_a_successful_call_under_the_key_is_told_with_caller_time_and_context() -> None:
    found = delivered(answer(RECORD))
    (call,) = found.calls
    assert (call.identity, call.at, call.context) == (
        BEN,
        NOON + timedelta(minutes=5),
        {"keydeck:purpose": "approve"},
    )
    assert found.now == NOON + timedelta(minutes=10)


@pytest.mark.parametrize(
    "change",
    [
        {"errorCode": "AccessDenied"},
        {"errorCode": "DryRunOperationException"},
        {"eventSource": "s3.amazonaws.com"},
        {"eventName": "GenerateDataKey"},
        {"eventName": "Sign"},
        {"eventType": "AwsServiceEvent"},
        {"awsRegion": "us-east-1"},
        {"recipientAccountId": "999999999999"},
        {"userIdentity": {"type": "AWSAccount", "accountId": "999999999999", "principalId": "AROA:ben"}},
        {"userIdentity": {"arn": BEN, "accountId": "123456789012", "invokedBy": "ec2.amazonaws.com"}},
        {"userIdentity": {"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}},
        {"resources": [{"ARN": KEY.replace("1234abcd", "ffffffff")}]},
        {"resources": [{"ARN": KEY.replace("1234abcd", "ffffffff")}, {"ARN": KEY}]},
        {"resources": None},
        {"requestParameters": None},
        {"requestParameters": {"keyId": KEY}},
        {"eventTime": "yesterday"},
    ],
    ids=str,
)
def test_any_other_record_proves_nothing(change: dict[str, Any]) -> None:
    assert delivered(answer({**RECORD, **change})).calls == ()


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '"x"', "{"])
def test_a_record_that_cannot_be_read_proves_nothing(text: str) -> None:
    assert delivered(answer(text, RECORD)).calls == delivered(answer(RECORD)).calls


def test_every_page_is_read_and_throttling_waited_for() -> None:
    kms = Kms(answer(RECORD, NextToken="t"), KmsThrottledError("Rate exceeded"), answer(RECORD))
    calls = KmsApprovalCalls(kms, KEY, lambda _: None)  # type: ignore[arg-type]
    assert len(calls.delivered(NOON).calls) == 2
    assert [one.get("NextToken") for one in kms.asked] == [None, "t", "t"]
    assert {(one["operation"], one["region"], one["StartTime"]) for one in kms.asked} == {
        ("cloudtrail:LookupEvents", "eu-west-1", NOON)
    }


def test_what_is_never_whole_is_an_error_and_no_answer() -> None:
    with pytest.raises(KmsRequestError, match="more than 3,000"):
        delivered(*(answer(NextToken="t") for _ in range(100)))
    with pytest.raises(KmsRequestError, match="without a time"):
        delivered({"Events": []})
    with pytest.raises(KmsError):
        delivered(*(KmsThrottledError("Rate exceeded") for _ in range(20)))


REQUEST = Approval(
    id=UUID(int=7),
    action=clean("keys disable"),
    summary=clean("Disable it"),
    digest=clean("d"),
    plan={},
    requested_by=clean(ANA),
    requested_at=NOON,
    expires_at=NOON + timedelta(hours=1),
    decision=Decision.APPROVED,
    decided_by=clean(BEN),
    database_id=clean("db"),
    request_digest=clean("aa"),
)


def call(
    purpose: Purpose, who: str, minutes: float, of: Approval = REQUEST, source: str = ""
) -> RecordedCall:
    return RecordedCall(
        context_of(purpose, of), clean(who), NOON + timedelta(minutes=minutes), clean("e"), clean(source)
    )


ASKED, APPROVED = call(Purpose.ASK, ANA, 1), call(Purpose.APPROVE, BEN, 2)


def confirmed(*calls: RecordedCall, at: float = 10) -> tuple[bool, bool]:
    proof = proof_of(REQUEST, DeliveredCalls(calls, NOON + timedelta(minutes=at)))
    return proof.confirmed, proof.refused


YES, WAITS, NO = (True, False), (False, False), (False, True)


def test_asker_and_approver_are_both_known_from_cloudtrail() -> None:
    assert confirmed(ASKED, APPROVED) == YES
    assert confirmed(APPROVED, ASKED, at=61) == YES
    assert confirmed() == confirmed(ASKED) == confirmed(APPROVED) == WAITS
    assert confirmed(call(Purpose.ASK, BEN, 1), APPROVED) == WAITS


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, id=UUID(int=8)),
        replace(REQUEST, request_digest=clean("ab")),
        replace(REQUEST, database_id=clean("another")),
    ],
)
def test_a_call_about_anything_else_approves_nothing(other: Approval) -> None:
    assert confirmed(ASKED, call(Purpose.APPROVE, BEN, 2, other)) == WAITS
    assert confirmed(call(Purpose.ASK, ANA, 1, other), APPROVED) == WAITS


def test_an_approval_counts_between_the_request_and_its_end_by_awss_clock() -> None:
    assert confirmed(ASKED, call(Purpose.APPROVE, BEN, 0.9)) == WAITS
    assert confirmed(ASKED, call(Purpose.APPROVE, BEN, -5 * 30 * 24 * 60)) == WAITS
    assert confirmed(ASKED, call(Purpose.APPROVE, BEN, 61.1), at=60) == WAITS
    assert confirmed(ASKED, APPROVED, at=61.1) == NO


@pytest.mark.parametrize(
    "who",
    [
        ANA,
        ANA.replace("operator", "approver"),
        ANA.replace("/ana", "/Ana"),
        BEN.replace("/ben", "/i-0123456789"),
        "arn:aws:iam::123456789012:user/ana",
        "",
        "x",
    ],
)
def test_whoever_asked_or_cannot_be_told_approves_nothing(who: str) -> None:
    assert confirmed(ASKED, call(Purpose.APPROVE, who, 2)) == NO
    assert confirmed(ASKED, call(Purpose.APPROVE, who, 2), APPROVED) == YES


def test_one_source_identity_is_one_person_whatever_the_sessions_are_called() -> None:
    asked = call(Purpose.ASK, ANA, 1, source="ana@example.org")
    assert confirmed(asked, call(Purpose.APPROVE, BEN, 2, source="ana@example.org")) == NO
    assert confirmed(asked, call(Purpose.APPROVE, BEN, 2, source="ben@example.org")) == YES


def test_a_denial_or_a_use_ends_it_and_nobody_uses_it_for_another() -> None:
    assert confirmed(ASKED, APPROVED, call(Purpose.DENY, BEN, 3)) == NO
    assert confirmed(ASKED, APPROVED, call(Purpose.USE, ANA, 3)) == NO
    assert confirmed(ASKED, APPROVED, call(Purpose.USE, ANA.replace("/ana", "/eve"), 3)) == YES
