"""Going back to a bookmark: keys are as they were, and of what came since nothing is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from console.sandbox.endpoint import EndpointControlError, EndpointProcess

Client = Callable[..., Any]


def aliases(kms: Any) -> dict[str, str]:
    return {one["AliasName"]: one.get("TargetKeyId", "") for one in kms.list_aliases()["Aliases"]}


def keys(kms: Any) -> set[str]:
    return {key["KeyId"] for key in kms.list_keys()["Keys"]}


def names_of(trail: Any) -> list[str]:
    return [event["EventName"] for event in trail.lookup_events()["Events"]]


def test_keys_are_as_they_were_with_policy_alias_grants_material_and_state(
    endpoint: EndpointProcess, kms: Any, key: Any
) -> None:
    arn, alias = key["Arn"], f"alias/kept-{key['KeyId']}"
    kms.create_alias(AliasName=alias, TargetKeyId=arn)
    blob = kms.encrypt(KeyId=arn, Plaintext=b"before")["CiphertextBlob"]
    policy = kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
    there = keys(kms)
    endpoint.control.bookmark()
    other = kms.create_key()["KeyMetadata"]["Arn"]
    kms.update_alias(AliasName=alias, TargetKeyId=other)
    kms.create_alias(AliasName=f"{alias}-new", TargetKeyId=other)
    kms.rotate_key_on_demand(KeyId=arn)
    kms.enable_key_rotation(KeyId=arn)
    kms.create_grant(KeyId=arn, GranteePrincipal="arn:aws:iam::123456789012:user/x", Operations=["Decrypt"])
    changed = json.loads(policy)
    changed["Statement"][0]["Sid"] = "changed"
    kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=json.dumps(changed))
    later = kms.encrypt(KeyId=arn, Plaintext=b"later")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    for _ in range(2):  # a bookmark is good for more than once
        endpoint.control.go_back()
        assert keys(kms) == there
        assert aliases(kms)[alias] == key["KeyId"]
        assert f"{alias}-new" not in aliases(kms)
        described = kms.describe_key(KeyId=alias)["KeyMetadata"]
        assert (described["KeyState"], described["CurrentKeyMaterialId"]) == (
            "Enabled",
            key["CurrentKeyMaterialId"],
        )
        assert kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"] == policy
        assert kms.list_grants(KeyId=arn)["Grants"] == []
        assert kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"] is False
        assert len(kms.list_key_rotations(KeyId=arn)["Rotations"]) == 0
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"before"
        with pytest.raises(ClientError):
            kms.decrypt(CiphertextBlob=later)
        kms.disable_key(KeyId=arn)


@pytest.mark.deep
def test_records_buckets_objects_and_trails_that_came_since_are_forgotten(
    endpoint: EndpointProcess, kms: Any, client: Client
) -> None:
    s3, trail = client("s3"), client("cloudtrail")
    where = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket="before", CreateBucketConfiguration=where)
    s3.put_object(Bucket="before", Key="kept", Body=b"1")
    kms.list_aliases()
    endpoint.control.bookmark()
    before = endpoint.control.stats().records_kept
    s3.put_object(Bucket="before", Key="new", Body=b"2")
    s3.create_bucket(Bucket="since", CreateBucketConfiguration=where)
    trail.create_trail(Name="since", S3BucketName="since")
    trail.start_logging(Name="since")
    kms.create_key()
    endpoint.control.deliver()
    endpoint.control.go_back()
    assert endpoint.control.stats().records_kept == before
    assert endpoint.control.stats().records_undelivered == 0
    assert "CreateKey" not in names_of(trail)[:1]
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["before"]
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="before")["Contents"]] == ["kept"]
    assert trail.describe_trails()["trailList"] == []


def test_there_is_nothing_to_go_back_to_without_a_bookmark() -> None:
    with EndpointProcess("eu-west-1") as fresh, pytest.raises(EndpointControlError, match="no bookmark"):
        fresh.control.go_back()
