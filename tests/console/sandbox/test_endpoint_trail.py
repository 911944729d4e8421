"""CloudTrail in the sandbox: the records' shapes, LookupEvents, and delivery to S3."""

import base64
import gzip
import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from botocore.exceptions import ClientError

from console.sandbox.endpoint import ANALYST, INTRUDER, PLATFORM, Denial, EndpointProcess, PastCall
from tests.console.sandbox.refusals import refusal

REGION = "eu-west-1"
CONTEXT = {"keydeck:table": "gh_connection", "keydeck:id": "gh-42"}


@pytest.fixture(scope="module", autouse=True)
def unhurried_lookups(endpoint: EndpointProcess) -> None:
    endpoint.control.set_lookup_throttle(None)


@pytest.fixture(scope="module")
def trail(client: Callable[..., Any]) -> Any:
    return client("cloudtrail")


def events_of(trail: Any, key: Any, name: str | None = None) -> list[Any]:
    """The records about a key, newest first, as CloudTrail documents."""
    pages = trail.get_paginator("lookup_events").paginate(
        LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": key["Arn"]}]
    )
    found = [json.loads(event["CloudTrailEvent"]) for page in pages for event in page["Events"]]
    return [event for event in found if name is None or event["eventName"] == name]


def test_a_decrypt_is_recorded_in_cloudtrails_shape(kms: Any, key: Any, trail: Any) -> None:
    made = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256", EncryptionContext=CONTEXT)
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT)
    (event,) = events_of(trail, key, "Decrypt")
    assert event["eventSource"] == "kms.amazonaws.com"
    assert event["requestParameters"] == {
        "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "encryptionContext": CONTEXT,
    }
    assert event["responseElements"] is None
    assert event["additionalEventData"] == {"keyMaterialId": key["CurrentKeyMaterialId"]}
    assert event["resources"] == [{"accountId": "123456789012", "type": "AWS::KMS::Key", "ARN": key["Arn"]}]
    assert event["requestID"] == opened["ResponseMetadata"]["RequestId"]
    assert (event["readOnly"], event["eventType"], event["eventCategory"]) == (
        True,
        "AwsApiCall",
        "Management",
    )
    assert (event["awsRegion"], event["sourceIPAddress"]) == (REGION, "127.0.0.1")
    assert event["userAgent"].startswith("Boto3/")
    assert event["userIdentity"]["type"] == "AssumedRole"
    assert event["userIdentity"]["accessKeyId"] == PLATFORM
    assert event["userIdentity"]["sessionContext"]["sessionIssuer"]["userName"] == "keydeck-platform"


def test_a_decrypt_that_names_its_key_is_recorded_with_it(kms: Any, key: Any, trail: Any) -> None:
    blob = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    kms.decrypt(CiphertextBlob=blob, KeyId=key["Arn"])
    (event,) = events_of(trail, key, "Decrypt")
    assert event["requestParameters"] == {"encryptionAlgorithm": "SYMMETRIC_DEFAULT", "keyId": key["Arn"]}


def test_a_generated_data_key_is_recorded_with_what_was_asked(kms: Any, key: Any, trail: Any) -> None:
    kms.generate_data_key(KeyId=key["KeyId"], NumberOfBytes=32, EncryptionContext=CONTEXT)
    (event,) = events_of(trail, key, "GenerateDataKey")
    assert event["requestParameters"] == {
        "keyId": key["KeyId"],
        "numberOfBytes": 32,
        "encryptionContext": CONTEXT,
    }


def test_a_reencrypt_is_recorded_with_both_keys_source_first(kms: Any, key: Any, trail: Any) -> None:
    other = kms.create_key()["KeyMetadata"]
    blob = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other["KeyId"], DestinationEncryptionContext=CONTEXT)
    (event,) = events_of(trail, key, "ReEncrypt")
    assert [resource["ARN"] for resource in event["resources"]] == [key["Arn"], other["Arn"]]
    assert event["requestParameters"] == {
        "sourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "destinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "destinationKeyId": other["KeyId"],
        "destinationEncryptionContext": CONTEXT,
    }
    assert event["additionalEventData"] == {
        "sourceKeyMaterialId": key["CurrentKeyMaterialId"],
        "destinationKeyMaterialId": other["CurrentKeyMaterialId"],
    }


def test_a_denial_is_recorded_without_parameters_and_resources(
    kms: Any, key: Any, trail: Any, client: Callable[..., Any], endpoint: EndpointProcess
) -> None:
    blob = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    endpoint.control.add_denial(Denial("intruder", "kms:*", key["Arn"]))
    assert refusal(client("kms", INTRUDER).decrypt, CiphertextBlob=blob)[0] == "AccessDeniedException"
    event = next(
        event for event in all_events(trail, "AccessKeyId", INTRUDER) if key["Arn"] in event["errorMessage"]
    )
    assert event["errorCode"] == "AccessDenied"
    assert event["requestParameters"] is None
    assert "resources" not in event
    assert "additionalEventData" not in event
    assert event["userIdentity"]["userName"] == "intruder"


def test_a_failed_decrypt_is_recorded_with_its_error_and_key(kms: Any, key: Any, trail: Any) -> None:
    blob = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    kms.disable_key(KeyId=key["Arn"])
    refusal(kms.decrypt, CiphertextBlob=blob)
    (event,) = events_of(trail, key, "Decrypt")
    assert (event["errorCode"], event["errorMessage"]) == ("DisabledException", f"{key['Arn']} is disabled.")
    assert event["requestParameters"] == {"encryptionAlgorithm": "SYMMETRIC_DEFAULT"}


def test_control_operations_are_recorded_with_the_keys_arn(kms: Any, key: Any, trail: Any) -> None:
    kms.disable_key(KeyId=key["KeyId"])
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=9)
    document = kms.get_key_policy(KeyId=key["KeyId"])["Policy"]
    kms.put_key_policy(KeyId=key["KeyId"], Policy=document)
    policy, _, deletion, disabling, creation = events_of(trail, key)
    assert disabling["responseElements"] == {"keyId": key["Arn"]}
    assert disabling["requestParameters"] == {"keyId": key["KeyId"]}
    assert disabling["readOnly"] is False
    assert deletion["requestParameters"] == {"keyId": key["KeyId"], "pendingWindowInDays": 9}
    assert deletion["responseElements"]["keyState"] == "PendingDeletion"
    assert deletion["responseElements"]["deletionDate"]
    assert policy["requestParameters"]["policy"] == document
    assert creation["responseElements"]["keyMetadata"]["arn"] == key["Arn"]


def test_a_rotation_on_demand_is_a_request_and_a_completion(kms: Any, key: Any, trail: Any) -> None:
    kms.rotate_key_on_demand(KeyId=key["KeyId"])
    current = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["CurrentKeyMaterialId"]
    (request,) = events_of(trail, key, "RotateKeyOnDemand")
    (completion,) = events_of(trail, key, "RotateKey")
    assert request["eventType"] == "AwsApiCall"
    assert completion["eventType"] == "AwsServiceEvent"
    assert completion["userIdentity"] == {"accountId": "123456789012", "invokedBy": "AWS Internal"}
    assert completion["requestParameters"] is None
    assert "requestID" not in completion
    assert completion["serviceEventDetails"] == {
        "rotationType": "ON_DEMAND",
        "keyOrigin": "AWS_KMS",
        "keyId": key["KeyId"],
        "previousKeyMaterialId": key["CurrentKeyMaterialId"],
        "currentKeyMaterialId": current,
    }


def test_no_record_holds_a_secret(kms: Any, key: Any, trail: Any, endpoint: EndpointProcess) -> None:
    secret = b"canary-plaintext-of-a-token"
    sealed = kms.encrypt(KeyId=key["Arn"], Plaintext=secret)
    made = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
    kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])
    kms.re_encrypt(CiphertextBlob=made["CiphertextBlob"], DestinationKeyId=key["Arn"])
    grant = kms.create_grant(
        KeyId=key["Arn"], GranteePrincipal="arn:aws:iam::123456789012:root", Operations=["Decrypt"]
    )
    kms.retire_grant(GrantToken=grant["GrantToken"])
    written = json.dumps(events_of(trail, key))
    for hidden in (secret, made["Plaintext"], made["CiphertextBlob"], sealed["CiphertextBlob"]):
        assert base64.b64encode(hidden).decode() not in written
    assert grant["GrantToken"] not in json.dumps(all_events(trail, "EventName", "RetireGrant"))


def test_calls_of_other_services_are_recorded_too(client: Callable[..., Any], trail: Any) -> None:
    bucket = new_bucket(client)
    client("s3").put_object(Bucket=bucket, Key="object", Body=b"x")
    client("sts").get_caller_identity()
    events = all_events(trail, "AccessKeyId", PLATFORM)
    named = {(event["eventSource"], event["eventName"]) for event in events}
    assert ("s3.amazonaws.com", "CreateBucket") in named
    assert ("sts.amazonaws.com", "GetCallerIdentity") in named
    assert ("cloudtrail.amazonaws.com", "LookupEvents") in {
        (event["eventSource"], event["eventName"]) for event in all_events(trail, "EventName", "LookupEvents")
    }
    assert not [name for _, name in named if "Object" in name]


@pytest.mark.parametrize(
    ("attribute", "value_of"),
    [
        ("EventId", lambda event, key: event["EventId"]),
        ("EventName", lambda event, key: "GenerateDataKey"),
        ("ReadOnly", lambda event, key: "true"),
        ("Username", lambda event, key: "keydeck-analyst"),
        ("ResourceType", lambda event, key: "AWS::KMS::Key"),
        ("ResourceName", lambda event, key: key["Arn"]),
        ("EventSource", lambda event, key: "kms.amazonaws.com"),
        ("AccessKeyId", lambda event, key: ANALYST),
    ],
)
def test_events_are_looked_up_by_each_attribute(
    client: Callable[..., Any], key: Any, trail: Any, attribute: str, value_of: Callable[..., str]
) -> None:
    client("kms", ANALYST).generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
    made = trail.lookup_events(
        LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": key["Arn"]}]
    )["Events"][0]
    assert (made["EventName"], made["Username"], made["AccessKeyId"]) == (
        "GenerateDataKey",
        "keydeck-analyst",
        ANALYST,
    )
    assert made["Resources"] == [{"ResourceType": "AWS::KMS::Key", "ResourceName": key["Arn"]}]
    found = trail.lookup_events(
        LookupAttributes=[{"AttributeKey": attribute, "AttributeValue": value_of(made, key)}], MaxResults=50
    )["Events"]
    assert made["EventId"] in [event["EventId"] for event in found]
    nothing = trail.lookup_events(LookupAttributes=[{"AttributeKey": attribute, "AttributeValue": "other"}])
    assert nothing["Events"] == []


def test_pages_are_newest_first_without_gaps_or_repeats(
    kms: Any, key: Any, trail: Any, endpoint: EndpointProcess
) -> None:
    start = datetime.now(UTC) - timedelta(days=2)
    endpoint.control.history(
        [PastCall(start + timedelta(minutes=one), PLATFORM, "Decrypt", key["Arn"]) for one in range(120)]
    )
    request = {
        "LookupAttributes": [{"AttributeKey": "ResourceName", "AttributeValue": key["Arn"]}],
        "StartTime": start,
        "EndTime": start + timedelta(minutes=119),
    }
    events, pages = [], 0
    while True:
        page = trail.lookup_events(**request)
        events += page["Events"]
        pages += 1
        if "NextToken" not in page:
            break
        request["NextToken"] = page["NextToken"]
        # What happens meanwhile must not shift the pages.
        kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
        endpoint.control.history([PastCall(start + timedelta(minutes=119), PLATFORM, "Encrypt", key["Arn"])])
    times = [event["EventTime"] for event in events if event["EventName"] == "Decrypt"]
    assert pages == 3
    assert len({event["EventId"] for event in events}) == len(events)
    assert len(times) == 120
    assert times == sorted(times, reverse=True)


def test_start_and_end_of_the_window_are_included(key: Any, trail: Any, endpoint: EndpointProcess) -> None:
    moment = (datetime.now(UTC) - timedelta(days=1)).replace(microsecond=0)
    endpoint.control.history(
        [
            PastCall(moment + timedelta(seconds=second), PLATFORM, "Decrypt", key["Arn"])
            for second in (-1, 0, 1, 2)
        ]
    )
    found = trail.lookup_events(
        LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": key["Arn"]}],
        StartTime=moment,
        EndTime=moment + timedelta(seconds=1),
    )["Events"]
    assert [event["EventTime"] for event in found] == [moment + timedelta(seconds=1), moment]


@pytest.mark.deep
def test_events_older_than_90_days_are_not_looked_up(key: Any, trail: Any, endpoint: EndpointProcess) -> None:
    now = datetime.now(UTC)
    endpoint.control.history(
        [PastCall(now - timedelta(days=days), PLATFORM, "Decrypt", key["Arn"]) for days in (89, 91)]
    )
    assert len(events_of(trail, key, "Decrypt")) == 1


def test_events_of_another_region_are_not_looked_up(client: Callable[..., Any], key: Any, kms: Any) -> None:
    kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
    assert events_of(client("cloudtrail", region="us-east-1"), key) == []


def test_a_next_token_demands_the_same_parameters(trail: Any, kms: Any) -> None:
    for _ in range(2):
        kms.list_keys()
    page = trail.lookup_events(MaxResults=1)
    assert trail.lookup_events(MaxResults=1, NextToken=page["NextToken"])["Events"]
    code, _ = refusal(trail.lookup_events, MaxResults=2, NextToken=page["NextToken"])
    assert code == "InvalidNextTokenException"
    assert refusal(trail.lookup_events, NextToken="made up")[0] == "InvalidNextTokenException"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"MaxResults": 51}, "InvalidMaxResultsException"),
        (
            {
                "LookupAttributes": [
                    {"AttributeKey": "EventName", "AttributeValue": "Decrypt"},
                    {"AttributeKey": "ReadOnly", "AttributeValue": "true"},
                ]
            },
            "InvalidLookupAttributesException",
        ),
        (
            {"LookupAttributes": [{"AttributeKey": "ErrorCode", "AttributeValue": "x"}]},
            "InvalidLookupAttributesException",
        ),
        ({"StartTime": 2_000_000, "EndTime": 1_000_000}, "InvalidTimeRangeException"),
        ({"EventCategory": "insight"}, "UnsupportedOperationException"),
    ],
)
def test_a_lookup_that_cloudtrail_refuses_is_refused(trail: Any, request_: Any, code: str) -> None:
    assert refusal(trail.lookup_events, **request_)[0] == code


def test_lookups_are_limited_to_two_a_second(trail: Any, endpoint: EndpointProcess) -> None:
    endpoint.control.set_lookup_throttle(2)
    codes = []
    for _ in range(6):
        try:
            trail.lookup_events(MaxResults=1)
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
    endpoint.control.set_lookup_throttle(None)
    assert set(codes) == {"ThrottlingException"}
    assert trail.lookup_events(MaxResults=1)


def test_a_trail_delivers_files_where_cloudtrail_puts_them(
    client: Callable[..., Any], kms: Any, key: Any, trail: Any, endpoint: EndpointProcess
) -> None:
    bucket = new_bucket(client)
    trail.create_trail(Name=bucket, S3BucketName=bucket, S3KeyPrefix="audit", IsMultiRegionTrail=True)
    trail.start_logging(Name=bucket)
    kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
    endpoint.control.deliver()
    trail.delete_trail(Name=bucket)
    names = object_names(client, bucket)
    today = datetime.now(UTC)
    assert names
    for name in names:
        assert re.fullmatch(
            r"audit/AWSLogs/123456789012/CloudTrail/[a-z0-9-]+/\d{4}/\d\d/\d\d/"
            r"123456789012_CloudTrail_[a-z0-9-]+_\d{8}T\d{4}Z_[A-Za-z0-9]{16}\.json\.gz",
            name,
        )
    assert any(f"CloudTrail/{REGION}/{today:%Y/%m/%d}/" in name for name in names)
    delivered = [record for name in names for record in read_file(client, bucket, name)]
    assert events_of(trail, key, "GenerateDataKey")[0] in delivered


def test_a_trail_that_gets_a_past_was_logging_then(
    client: Callable[..., Any], key: Any, trail: Any, endpoint: EndpointProcess
) -> None:
    bucket = new_bucket(client)
    trail.create_trail(Name=bucket, S3BucketName=bucket)
    trail.start_logging(Name=bucket)
    long_ago = datetime(2025, 3, 5, 12, 0, tzinfo=UTC)
    assert trail.get_trail_status(Name=bucket)["StartLoggingTime"] > long_ago + timedelta(days=1)
    endpoint.control.history([PastCall(long_ago, ANALYST, "Decrypt", key["Arn"])])
    endpoint.control.deliver()
    started = trail.get_trail_status(Name=bucket)["StartLoggingTime"]
    trail.delete_trail(Name=bucket)
    assert abs(started - long_ago) < timedelta(days=1)  # moto tells it in the machine's zone


def test_a_trail_that_excludes_kms_or_is_stopped_gets_no_kms_events(
    client: Callable[..., Any], kms: Any, key: Any, trail: Any, endpoint: EndpointProcess
) -> None:
    bucket = new_bucket(client)
    trail.create_trail(Name=bucket, S3BucketName=bucket)
    trail.start_logging(Name=bucket)
    endpoint.control.deliver()
    trail.put_event_selectors(
        TrailName=bucket,
        EventSelectors=[
            {
                "ReadWriteType": "All",
                "IncludeManagementEvents": True,
                "ExcludeManagementEventSources": ["kms.amazonaws.com"],
            }
        ],
    )
    advanced = [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}]
    code, _ = refusal(trail.put_event_selectors, TrailName=bucket, AdvancedEventSelectors=advanced)
    assert code == "UnsupportedOperationException"
    kms.describe_key(KeyId=key["Arn"])
    client("sts").get_caller_identity()
    endpoint.control.deliver()
    trail.put_event_selectors(
        TrailName=bucket, EventSelectors=[{"ReadWriteType": "All", "IncludeManagementEvents": True}]
    )
    kms.get_key_policy(KeyId=key["Arn"])
    trail.stop_logging(Name=bucket)
    kms.list_grants(KeyId=key["Arn"])
    endpoint.control.deliver()
    trail.delete_trail(Name=bucket)
    records = [record for name in object_names(client, bucket) for record in read_file(client, bucket, name)]
    about_the_key = {
        record["eventName"]
        for record in records
        if key["Arn"] in json.dumps(record.get("resources")) and record["eventName"] != "CreateKey"
    }
    assert about_the_key == {"GetKeyPolicy"}
    assert "GetCallerIdentity" in {record["eventName"] for record in records}


def all_events(trail: Any, attribute: str, value: str) -> list[Any]:
    pages = trail.get_paginator("lookup_events").paginate(
        LookupAttributes=[{"AttributeKey": attribute, "AttributeValue": value}]
    )
    return [json.loads(event["CloudTrailEvent"]) for page in pages for event in page["Events"]]


def new_bucket(client: Callable[..., Any]) -> str:
    name = f"trail-{uuid.uuid4()}"
    client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


def object_names(client: Callable[..., Any], bucket: str) -> list[str]:
    return [one["Key"] for one in client("s3").list_objects_v2(Bucket=bucket).get("Contents", ())]


def read_file(client: Callable[..., Any], bucket: str, name: str) -> list[Any]:
    packed = client("s3").get_object(Bucket=bucket, Key=name)["Body"].read()
    records: list[Any] = json.loads(gzip.decompress(packed))["Records"]
    return records


def test_a_moved_clock_is_the_time_of_calls_and_of_what_is_looked_up(
    endpoint: EndpointProcess, kms: Any, key: Any, trail: Any
) -> None:
    spring = datetime.now(UTC) - timedelta(days=200)
    endpoint.control.move_clock(spring)
    try:
        assert refusal(kms.describe_key, KeyId=key["Arn"])[0] == "InvalidSignatureException"
        with time_machine.travel(spring):
            kms.disable_key_rotation(KeyId=key["Arn"])
            (then,) = events_of(trail, key, "DisableKeyRotation")
    finally:
        endpoint.control.move_clock(None)
    assert abs(datetime.fromisoformat(then["eventTime"]) - spring) < timedelta(minutes=1)
    # Longer ago than CloudTrail looks up.
    assert events_of(trail, key, "DisableKeyRotation") == []
