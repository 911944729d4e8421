"""CloudTrail records for tests, in the shapes of the KMS Developer Guide."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto_core.trail.event import TrailEvent
from crypto_core.trail.record_reader import read_record

ACCOUNT = "111122223333"
REGION = "eu-west-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0987dcba-09fe-87dc-65ba-ab0987654321"
MATERIAL = "96083e4fb6dbc41d77578a213a6b6669c044dd4c143e96755396d2bf11fd6068"
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def role(name: str = "platform", session: str = "api-1", **more: Any) -> dict[str, Any]:
    """An assumed role's identity."""
    return {
        "type": "AssumedRole",
        "principalId": f"AROAEXAMPLE:{session}",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}",
        "accountId": ACCOUNT,
        "accessKeyId": "ASIAEXAMPLE",
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "arn": f"arn:aws:iam::{ACCOUNT}:role/{name}",
                "accountId": ACCOUNT,
                "userName": name,
            },
            "attributes": {"creationDate": "2026-11-25T08:00:00Z", "mfaAuthenticated": "false"},
        },
        **more,
    }


def user(name: str = "intruder", **more: Any) -> dict[str, Any]:
    """An IAM user's identity."""
    return {
        "type": "IAMUser",
        "principalId": "AIDAEXAMPLE",
        "arn": f"arn:aws:iam::{ACCOUNT}:user/{name}",
        "accountId": ACCOUNT,
        "accessKeyId": "AKIAEXAMPLE",
        "userName": name,
        **more,
    }


def record(
    name: str = "Decrypt",
    *,
    ago: timedelta | float = 0,
    key: str | None = KEY,
    context: Mapping[str, str] | None = None,
    who: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A record of a call of KMS, so long (or so many seconds) before NOW; `more` replaces its fields."""
    time = NOW - (ago if isinstance(ago, timedelta) else timedelta(seconds=ago))
    request: dict[str, Any] = {"encryptionAlgorithm": "SYMMETRIC_DEFAULT"}
    if context:
        request["encryptionContext"] = dict(context)
    return {
        "eventVersion": "1.11",
        "userIdentity": role() if who is None else who,
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "awsRegion": REGION,
        "sourceIPAddress": "10.20.1.17",
        "userAgent": "Boto3/1.40.21 app/platform-api",
        "requestParameters": request,
        "responseElements": None,
        "additionalEventData": {"keyMaterialId": MATERIAL},
        "requestID": str(uuid.uuid4()),
        "eventID": str(uuid.uuid4()),
        "readOnly": True,
        "resources": [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": key}] if key else [],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    } | more


def denied(
    name: str = "Decrypt", *, key: str = KEY, who: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A record of a denied call: the key stands in the message alone."""
    identity = who or user()
    return (
        record(
            name,
            key=None,
            who=identity,
            errorCode="AccessDenied",
            errorMessage=f"User: {identity.get('arn')} is not authorized to perform: kms:{name} "
            f"on resource: {key} because no identity-based policy allows the action",
            requestParameters=None,
            additionalEventData=None,
        )
        | more
    )


def context(row: str, table: str = "gh_connection", column: str = "access_token") -> dict[str, str]:
    """The encryption context of a v2 envelope."""
    return {"keydeck:table": table, "keydeck:column": column, "keydeck:id": row}


S3_CONTEXT = {"aws:s3:arn": "arn:aws:s3:::backups/one"}
"""The encryption context with which S3 has KMS open its objects' data keys."""


def event(*args: Any, **more: Any) -> TrailEvent:
    """The event of a record."""
    return read(record(*args, **more))


def read(source: Mapping[str, Any]) -> TrailEvent:
    """The event of a record that is one."""
    found = read_record(source)
    assert found is not None
    return found
