"""Calls under the approvals key, and the account's own record of them: KMS and CloudTrail's event history.

KMS API reference, GenerateDataKeyWithoutPlaintext; CloudTrail API reference, LookupEvents; AWS KMS Developer
Guide, "Logging AWS KMS API calls with AWS CloudTrail". LookupEvents answers only with what CloudTrail itself
recorded in the caller's account; nothing that was imported or stored here is among it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.guard.approval_proof import DeliveredCalls, RecordedCall
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KmsError, KmsRequestError
from crypto_core.values.key_names import account_of, region_of

OPERATION = "GenerateDataKeyWithoutPlaintext"
_PAGES = 60
"""At most so many pages are read, of 50 events each, two a second."""
_WAITS = (0.6, 0.6, 1.2, 2.4, 4.8)
"""Seconds before each further try where AWS asks to wait; its quota is two calls a second."""


def event_pages(
    kms: KmsApi,
    region: str,
    operation: str,
    since: datetime,
    *,
    most: int,
    rest: Callable[[float], object] = time.sleep,
    **parameters: Any,
) -> Iterator[dict[str, Any]]:
    """Yield the pages of an operation's events in CloudTrail's event history, asking again where AWS is busy.

    Raises KmsError; KmsRequestError, too, where there are more than `most` pages.
    """
    named = [{"AttributeKey": "EventName", "AttributeValue": operation}]
    asked = {"LookupAttributes": named, "StartTime": since, "MaxResults": 50} | parameters
    for _ in range(most):
        page = _page(kms, region, asked, rest)
        yield page
        if not page.get("NextToken"):
            return
        asked["NextToken"] = page["NextToken"]
    raise KmsRequestError(
        f"CloudTrail has more than {50 * most:,} {operation} events in the time that is searched.",
        operation="LookupEvents",
        remedy="Ask again, so that a shorter time has to be searched, or find out who makes so many.",
    )


def _page(
    kms: KmsApi, region: str, asked: Mapping[str, Any], rest: Callable[[float], object]
) -> dict[str, Any]:
    for wait in (*_WAITS, None):
        try:
            return kms.read("cloudtrail", "LookupEvents", region=region, **asked)
        except KmsError as error:
            if wait is None or not error.transient:
                raise
        rest(wait)
    raise AssertionError("unreachable")


class KmsApprovalCalls:
    """An ApprovalCalls under one key, in the Region and account that its ARN names. Thread-safe; blocks."""

    def __init__(self, kms: KmsApi, key_arn: str, rest: Callable[[float], None] = time.sleep) -> None:
        self._kms = kms
        self._key = key_arn
        self._region = region_of(key_arn) or ""
        self._account = account_of(key_arn)
        self._rest = rest

    def call(self, context: Mapping[str, str]) -> None:
        """Make one call. The data key that comes of it is dropped: nothing is sealed by it."""
        self._kms.call(
            OPERATION,
            region=self._region,
            KeyId=self._key,
            KeySpec="AES_256",
            EncryptionContext=dict(context),
        )

    def delivered(self, since: datetime) -> DeliveredCalls:
        """Return the successful calls under the key since a moment, as far as they are delivered.

        Raises KmsError; KmsRequestError, too, where AWS tells no time, or there are too many events to read.
        """
        calls: list[RecordedCall] = []
        page: dict[str, Any] = {}
        for page in event_pages(self._kms, self._region, OPERATION, since, most=_PAGES, rest=self._rest):
            calls += self._calls_in(page)
        return DeliveredCalls(tuple(calls), _time_of(page))

    def _calls_in(self, answer: Mapping[str, Any]) -> Iterator[RecordedCall]:
        for event in answer.get("Events") or ():
            try:
                found = self._call_of(json.loads(event["CloudTrailEvent"]))
            except (AttributeError, KeyError, TypeError, ValueError):
                continue  # it proves nothing
            if found is not None:
                yield found

    def _call_of(self, record: Mapping[str, Any]) -> RecordedCall | None:
        """The record's call, if it is a successful one under the key by a principal of its account."""
        who = record["userIdentity"]
        is_ours = (
            record["eventSource"] == "kms.amazonaws.com"
            and record["eventName"] == OPERATION
            and record["eventType"] == "AwsApiCall"
            and not record.get("errorCode")
            and record["awsRegion"] == self._region
            and record["recipientAccountId"] == who["accountId"] == self._account
            and not who.get("invokedBy")
            and [resource.get("ARN") for resource in record["resources"]] == [self._key]
        )
        if not is_ours:
            return None
        context = record["requestParameters"]["encryptionContext"]
        session = who.get("sessionContext") or {}
        return RecordedCall(
            context={str(name): str(value) for name, value in context.items()},
            identity=clean(who["arn"], 512),
            at=datetime.strptime(record["eventTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
            event_id=clean(record["eventID"], 64),
            source_identity=clean(session.get("sourceIdentity"), 200),
        )


def _time_of(answer: Mapping[str, Any]) -> datetime:
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        return parsedate_to_datetime(str(headers["date"])).astimezone(UTC)
    except (KeyError, ValueError, TypeError) as error:
        raise KmsRequestError("CloudTrail answered without a time.", operation="LookupEvents") from error
