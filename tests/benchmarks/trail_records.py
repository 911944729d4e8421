"""CloudTrail records as a platform with a million calls leaves them, the same every time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

ACCOUNT = "111122223333"
REGIONS = ("eu-west-1", "us-east-1")
DAYS = 30
PLATFORM_KEYS = 3
"""The first keys are the platform's."""
TOKENS = 200_000
"""Connections whose tokens are v2: half of the platform's calls name one of them."""

_LATE = 900
"""Seconds within which records come in no order."""

_AGENT = "Boto3/1.40.{} md/Botocore#1.40.{} ua/2.1 os/linux#6.8 lang/python#3.12.6 app/platform-api"
_SERVICES = ("backup", "rds", "s3", "ebs", "secretsmanager", "lambda", "logs", "sns")
_HUMANS = ("ana", "ben", "carla", "dmitri", "elif")


def records(
    count: int, *, now: datetime, seed: int = 7, days: float = DAYS, intruder: datetime | None = None
) -> Iterator[dict[str, Any]]:
    """Yield so many records of the last days, as files come: a quarter of an hour is in no order.

    `intruder` is when one calls, for ten minutes; two days before `now` where it isn't given.
    """
    attack = intruder or now - timedelta(days=2)
    draw = random.Random(seed)
    for number in range(count):
        age = timedelta(seconds=days * 86_400 * (1 - number / count) + draw.random() * _LATE)
        kind = draw.random()
        if kind < 0.55:
            yield _platform(draw, now - age)
        elif kind < 0.97:
            yield _service(draw, now - age)
        elif kind < 0.995:
            yield _human(draw, now - age)
        else:
            yield _intruder(draw, attack - timedelta(seconds=draw.random() * 600))


def key_arn(number: int, region: str) -> str:
    """A key of the account."""
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/{number:08d}-12ab-34cd-56ef-1234567890ab"


def _uuid(draw: random.Random) -> str:
    text = f"{draw.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _record(
    draw: random.Random,
    at: datetime,
    name: str,
    identity: dict[str, Any],
    ip: str,
    agent: str,
    key: int,
    region: str,
    **more: Any,
) -> dict[str, Any]:
    return {
        "eventVersion": "1.11",
        "userIdentity": identity,
        "eventTime": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "awsRegion": region,
        "sourceIPAddress": ip,
        "userAgent": agent,
        "requestParameters": {"encryptionAlgorithm": "SYMMETRIC_DEFAULT"},
        "responseElements": None,
        "additionalEventData": {"keyMaterialId": f"{key:064x}"},
        "requestID": _uuid(draw),
        "eventID": _uuid(draw),
        "readOnly": True,
        "resources": [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": key_arn(key, region)}],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_256_GCM_SHA384",
            "clientProvidedHostHeader": f"kms.{region}.amazonaws.com",
        },
    } | more


def _role(name: str, session: str) -> dict[str, Any]:
    return {
        "type": "AssumedRole",
        "principalId": f"AROAEXAMPLEEXAMPLE:{session}",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}",
        "accountId": ACCOUNT,
        "accessKeyId": f"ASIA{session.upper():>016}",
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": "AROAEXAMPLEEXAMPLE",
                "arn": f"arn:aws:iam::{ACCOUNT}:role/{name}",
                "accountId": ACCOUNT,
                "userName": name,
            },
            "attributes": {"creationDate": "2026-11-25T08:00:00Z", "mfaAuthenticated": "false"},
        },
    }


def _user(name: str) -> dict[str, Any]:
    return {
        "type": "IAMUser",
        "principalId": "AIDAEXAMPLEEXAMPLE",
        "arn": f"arn:aws:iam::{ACCOUNT}:user/{name}",
        "accountId": ACCOUNT,
        "accessKeyId": f"AKIA{name.upper():>016}",
        "userName": name,
    }


def _platform(draw: random.Random, at: datetime) -> dict[str, Any]:
    name = "Decrypt" if draw.random() < 0.9 else "GenerateDataKey"
    session = f"api-{int(at.timestamp()) // 43_200 % 60}-{draw.randrange(6)}"
    more: dict[str, Any] = {}
    if draw.random() < 0.5:
        row = {"keydeck:table": "gh_connection", "keydeck:column": "access_token"}
        row["keydeck:id"] = f"gh-{draw.randrange(TOKENS)}"
        more["requestParameters"] = {"encryptionAlgorithm": "SYMMETRIC_DEFAULT", "encryptionContext": row}
    agent = _AGENT.format(*[20 + draw.randrange(3)] * 2)
    ip = f"10.20.{draw.randrange(3)}.{17 + draw.randrange(4)}"
    key, region = draw.randrange(PLATFORM_KEYS), draw.choice(REGIONS)
    return _record(draw, at, name, _role("platform", session), ip, agent, key, region, **more)


def _service(draw: random.Random, at: datetime) -> dict[str, Any]:
    service = f"{draw.choice(_SERVICES)}.amazonaws.com"
    name = draw.choice(("Decrypt", "GenerateDataKey", "DescribeKey", "CreateGrant"))
    identity = {"type": "AWSService", "invokedBy": service}
    key, region = 3 + draw.randrange(4), draw.choice(REGIONS)
    return _record(draw, at, name, identity, service, service, key, region)


def _human(draw: random.Random, at: datetime) -> dict[str, Any]:
    name = draw.choice(("DescribeKey", "ListKeys", "GetKeyPolicy", "Decrypt"))
    agent = f"aws-cli/2.27.{draw.randrange(40)} md/awscrt#0.26.1 os/macos lang/python#3.13.4"
    who, ip = _user(draw.choice(_HUMANS)), f"203.0.113.{draw.randrange(40)}"
    return _record(draw, at, name, who, ip, agent, draw.randrange(3), REGIONS[0])


def _intruder(draw: random.Random, at: datetime) -> dict[str, Any]:
    who, ip = _user("intruder"), f"198.51.100.{draw.randrange(9)}"
    agent = "aws-cli/1.22.34 Python/3.10.12 Linux/6.5.0-kali3-amd64 botocore/1.27.84"
    if draw.random() < 0.7:
        return _record(draw, at, "Decrypt", who, ip, agent, 0, REGIONS[0])
    message = (
        f"User: {who['arn']} is not authorized to perform: kms:Decrypt on resource: {key_arn(1, REGIONS[0])}"
    )
    return _record(draw, at, "Decrypt", who, ip, agent, 1, REGIONS[0]) | {
        "errorCode": "AccessDenied",
        "errorMessage": f"{message} because no identity-based policy allows the kms:Decrypt action",
        "requestParameters": None,
        "additionalEventData": None,
        "resources": None,
    }


def recent(minutes: int = 0) -> datetime:
    """A moment to count back from: the last full hour, so that runs compare."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(minutes=minutes)
