"""KMS over HTTP: read only sends nothing that changes something, to KMS and to other services."""

from __future__ import annotations

import boto3
import pytest

from console.sandbox.endpoint import EndpointControl
from crypto_core.aws.kms import READ_ONLY_OPERATIONS, READ_OPERATIONS, WRITE_OPERATIONS, KmsApi
from crypto_core.values.errors import ReadOnlyError
from tests.crypto_core.aws.kms.stage import NOWHERE, REGION, Stage, sent


def all_operations() -> list[str]:
    return list(boto3.client("kms", region_name=REGION).meta.service_model.operation_names)


def test_read_only_refuses_every_operation_that_changes_something_before_it_is_sent(
    aws: EndpointControl,
) -> None:
    kms = KmsApi(read_only=True)
    before = sent(aws)
    refused = [operation for operation in all_operations() if operation not in READ_ONLY_OPERATIONS]
    for operation in refused:
        with pytest.raises(ReadOnlyError, match=f"kms:{operation} is refused") as caught:
            kms.call(operation, KeyId=NOWHERE)
        assert "--read-only" in caught.value.remedy
    assert {"GenerateDataKey", "ReEncrypt", "DisableKey", "PutKeyPolicy", "RotateKeyOnDemand"} <= set(refused)
    assert sent(aws) == before
    assert kms.calls == 0


def test_an_operation_that_does_not_exist_yet_is_refused_too() -> None:
    with pytest.raises(ReadOnlyError):
        KmsApi(read_only=True).call("DestroyEverything")


def test_read_only_allows_only_operations_that_read() -> None:
    assert set(all_operations()) >= READ_ONLY_OPERATIONS
    others = {o for o in READ_ONLY_OPERATIONS if not o.startswith(("Describe", "Get", "List"))}
    # Asking whether a signature is right changes nothing; making one is refused.
    assert others == {"Decrypt", "Verify", "VerifyMac"}


def test_read_only_still_reads(stage: Stage) -> None:
    kms = KmsApi(read_only=True)
    assert kms.call("DescribeKey", KeyId=stage.key)["KeyMetadata"]["Arn"] == stage.key
    assert kms.call("Decrypt", KeyId=stage.key, CiphertextBlob=stage.blob())["KeyId"] == stage.key
    assert kms.calls == 2


def test_elsewhere_only_anchors_are_written_and_none_read_only(kms: KmsApi, aws: EndpointControl) -> None:
    assert {"s3": frozenset({"PutObject"})} == WRITE_OPERATIONS
    before = dict(aws.stats().calls)
    reading = KmsApi([REGION], read_only=True)
    for api, operation in ((reading, "PutObject"), (kms, "DeleteObject"), (kms, "PutObjectRetention")):
        with pytest.raises(ReadOnlyError, match=f"s3:{operation} is refused"):
            api.write("s3", operation, region=REGION, Bucket="b", Key="k")
    assert dict(aws.stats().calls) == before


def test_other_services_are_asked_what_was_recorded_and_nothing_else(
    aws: EndpointControl, kms: KmsApi
) -> None:
    asked = {name for names in READ_OPERATIONS.values() for name in names}
    assert {n for n in asked if not n.startswith(("Describe", "Get", "List"))} == {
        "HeadObject",
        "LookupEvents",
        "StartQueryExecution",
        "StopQueryExecution",
    }
    (trail,) = [
        t
        for t in kms.read("cloudtrail", "DescribeTrails", region=REGION, includeShadowTrails=True)[
            "trailList"
        ]
        if t["Name"] == "account-trail"
    ]
    assert (
        kms.read("cloudtrail", "GetTrailStatus", region=REGION, Name=trail["TrailARN"])["IsLogging"] is True
    )
    before = dict(aws.stats().calls)
    for service, operation in (
        ("cloudtrail", "StopLogging"),
        ("cloudtrail", "PutEventSelectors"),
        ("cloudtrail", "Decrypt"),
        ("s3", "PutObject"),
        ("s3", "DeleteObject"),
        ("athena", "CreateNamedQuery"),
        ("iam", "ListUsers"),
    ):
        with pytest.raises(ReadOnlyError, match=f"{service}:{operation} is refused"):
            kms.read(service, operation, region=REGION, Name=trail["TrailARN"])
    with pytest.raises(ReadOnlyError, match="Athena writes its results to S3"):
        KmsApi(attempts=1, read_only=True).read(
            "athena", "StartQueryExecution", region=REGION, QueryString="SELECT 1"
        )
    assert dict(aws.stats().calls) == before
    assert kms.calls == 0
