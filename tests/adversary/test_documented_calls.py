"""Whoever has rights in AWS and no database: what tells of each call is what SECURITY.md says.

The calls are those of AWS's own service model. Each is made once, by a role that nobody has seen before, and
before that the platform has worked for two weeks.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest

import crypto_core
from crypto_core.trail.bucket_calls import BUCKET_CALLS
from tests.crypto_core.trail.records import record, role
from tests.crypto_core.trail.rules.watching import DAY, Watch, change, normal, trail_call, watch_in

HEADING = "## What AWS rights without the database can do, and what tells of it"
NOTHING = "nothing"
READING = ("Describe", "Get", "List", "Lookup", "Search", "Verify")
STRANGER = role("stranger", "s-1")
REQUESTS: dict[str, dict[str, Any]] = {
    "PutEventSelectors": {"eventSelectors": [{"readWriteType": "All", "includeManagementEvents": False}]},
    "CreateGrant": {"granteePrincipal": "arn:aws:iam::111122223333:role/stranger", "operations": ["Decrypt"]},
    "PutBucketOwnershipControls": {"OwnershipControls": {"Rule": {"ObjectOwnership": "BucketOwnerEnforced"}}},
    "PutBucketEncryption": {
        "ServerSideEncryptionConfiguration": {
            "Rule": {
                "ApplyServerSideEncryptionByDefault": {
                    "KMSMasterKeyID": "arn:aws:kms:eu-west-1:999999999999:key/"
                    "1234abcd-12ab-34cd-56ef-1234567890ab"
                }
            }
        }
    },
    "PutBucketAcl": {"x-amz-acl": "public-read"},
}
"""What makes a call harmful, where it is its parameters."""

BUCKET = {"bucketName": "trail-files"}


def bucket_call(name: str, request: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A call of S3 about the bucket that the trail delivers to."""
    given = {**BUCKET, **(request or {})}
    return change(name, given, **{"key": None, "eventSource": "s3.amazonaws.com", **more})


ASKED = bucket_call(
    "GetBucketAcl",
    who={"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"},
    ago=3_600,
    eventID="asked",
)
"""CloudTrail asks for its bucket's access list."""
BEFORE = [*normal(14), record("GenerateDataKey", ago=DAY * 3), ASKED]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The rules that find something before any call."""
    return {finding.rule for finding in watch_in(tmp_path_factory.mktemp("before"))(BEFORE).findings}


def calls() -> list[str]:
    """Return every call of KMS and CloudTrail that doesn't only read, as service:Operation.

    Of S3's those that are fetched, as CloudTrail calls them.
    """
    session = botocore.session.get_session()
    return [
        f"{service}:{name}"
        for service in ("kms", "cloudtrail")
        for name in session.get_service_model(service).operation_names
        if not name.startswith(READING)
    ] + [f"s3:{name}" for name in sorted(BUCKET_CALLS)]


def documented() -> dict[str, tuple[frozenset[str], str]]:
    """Return the rules that SECURITY.md names for each call, and why there are no more."""
    text = Path(crypto_core.__file__).with_name("SECURITY.md").read_text(encoding="utf-8")
    section = text.partition(f"{HEADING}\n")[2].partition("\n## ")[0]
    found = {}
    for line in section.splitlines():
        if not line.startswith("| `"):
            continue
        names, rules, limit = (cell.strip() for cell in line.strip("|").split("|"))
        for name in re.findall(r"`([^`]+)`", names):
            assert name not in found, f"{name} stands there twice"
            found[name] = (frozenset(re.findall(r"`([^`]+)`", rules)), limit)
            assert found[name][0] or rules == NOTHING
    return found


def test_what_nothing_tells_of_has_a_reason_and_no_call_is_left_out() -> None:
    told = documented()
    assert all(limit for rules, limit in told.values() if not rules)
    if new := sorted(set(calls()) - set(told)):
        pytest.skip(f"AWS has added what SECURITY.md doesn't know: {', '.join(new)}")


@pytest.mark.quick(8)
@pytest.mark.parametrize("call", sorted(set(calls()) & set(documented())))
def test_what_tells_of_a_call_is_what_is_documented(watch: Watch, known: set[str], call: str) -> None:
    service, _, name = call.partition(":")
    make = {"kms": change, "cloudtrail": trail_call, "s3": bucket_call}[service]
    mine = make(name, REQUESTS.get(name), ago=60, who=STRANGER)
    told = {
        f.rule for f in watch([*BEFORE, mine]).findings if mine["eventID"] in f.events or f.rule not in known
    }
    assert told == documented()[call][0]
