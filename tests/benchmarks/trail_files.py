"""A folder of CloudTrail's files as its bucket has them, the same for the same seed."""

from __future__ import annotations

import gzip
import random
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

REGIONS = ("eu-west-1", "us-east-1", "eu-central-1", "us-west-2")
ACCOUNT = "111122223333"
FIRST = datetime(2026, 9, 1, tzinfo=UTC)
EVERY = timedelta(minutes=5)
"""How often CloudTrail delivers a file."""

_SOURCES = (
    ("kms.amazonaws.com", ("Decrypt", "Decrypt", "Decrypt", "GenerateDataKey", "DescribeKey")),
    ("sts.amazonaws.com", ("AssumeRole",)),
    ("ec2.amazonaws.com", ("DescribeInstances", "DescribeVolumes", "DescribeTags")),
    ("s3.amazonaws.com", ("GetBucketAcl", "ListBuckets")),
    ("iam.amazonaws.com", ("GetRole", "ListRolePolicies")),
)
_INSTANCES = 40
"""What calls; two of them within the five minutes of one file."""
_AGENTS = tuple(f"Boto3/1.40.{n} md/Botocore#1.40.{n} ua/2.1 os/linux lang/python#3.12" for n in range(30))


def write(folder: Path, *, files: int, events: int, seed: int = 1) -> int:
    """Write so many gzip files with so many events, and return their bytes."""
    drawn = random.Random(seed)
    keys = [str(uuid.UUID(int=drawn.getrandbits(128))) for _ in range(12)]
    shares = [events // files + (number < events % files) for number in range(files)]
    size = 0
    for number, share in enumerate(shares):
        region = REGIONS[number % len(REGIONS)]
        ended = FIRST + EVERY * (number // len(REGIONS))
        at_work = drawn.sample(range(_INSTANCES), 2)
        records = [_record(drawn, region, ended, drawn.choice(at_work), keys) for _ in range(share)]
        name = f"{ACCOUNT}_CloudTrail_{region}_{ended:%Y%m%dT%H%MZ}_{drawn.getrandbits(64):016x}.json.gz"
        path = folder / "AWSLogs" / ACCOUNT / "CloudTrail" / region / f"{ended:%Y/%m/%d}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = gzip.compress(orjson.dumps({"Records": records}), mtime=0)
        path.write_bytes(packed)
        size += len(packed)
    return size


def _record(
    drawn: random.Random, region: str, ended: datetime, instance: int, keys: list[str]
) -> dict[str, Any]:
    source, names = drawn.choices(_SOURCES, weights=(40, 15, 25, 10, 10))[0]
    role, session = f"service-{instance % 25}", f"i-{instance * 7919:017x}"
    kms = source == "kms.amazonaws.com"
    key = f"arn:aws:kms:{region}:{ACCOUNT}:key/{keys[instance % len(keys)]}"
    failed = drawn.random() < 0.03
    record: dict[str, Any] = {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": f"AROAEXAMPLE{role}:{session}",
            "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}",
            "accountId": ACCOUNT,
            "accessKeyId": f"ASIA{ended:%m%d}{instance:012X}",
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": f"AROAEXAMPLE{role}",
                    "arn": f"arn:aws:iam::{ACCOUNT}:role/{role}",
                    "accountId": ACCOUNT,
                    "userName": role,
                },
                "attributes": {"creationDate": f"{ended:%Y-%m-%dT%H}:00:00Z", "mfaAuthenticated": "false"},
            },
        },
        "eventTime": f"{ended - timedelta(seconds=drawn.randrange(600)):%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": source,
        "eventName": drawn.choice(names),
        "awsRegion": region,
        "sourceIPAddress": f"10.20.{instance % 8}.{10 + instance}",
        "userAgent": _AGENTS[instance % len(_AGENTS)],
        "requestParameters": {"encryptionAlgorithm": "SYMMETRIC_DEFAULT"}
        if kms
        else {"filterSet": {"items": [{"name": "tag:stack", "valueSet": {"items": [{"value": role}]}}]}},
        "responseElements": None,
        "requestID": str(uuid.UUID(int=drawn.getrandbits(128))),
        "eventID": str(uuid.UUID(int=drawn.getrandbits(128))),
        "readOnly": True,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": f"{source.partition('.')[0]}.{region}.amazonaws.com",
        },
    }
    if kms:
        record["resources"] = [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": key}]
        record["additionalEventData"] = {"keyMaterialId": key[-36:].replace("-", "") * 2}
    if failed:
        record |= {
            "errorCode": "AccessDenied",
            "errorMessage": f"User: {record['userIdentity']['arn']} is not authorized to perform: "
            f"{source.partition('.')[0]}:{record['eventName']} on resource: {key} because no identity-based "
            "policy allows the action",
        }
    return record
