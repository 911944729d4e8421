"""KMS's control operations behind the gate: states, rotation, last usage, multi-Region keys."""

import itertools
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.sandbox.endpoint import PLATFORM, EndpointProcess, PastCall
from tests.console.sandbox.refusals import refusal

REGION = "eu-west-1"


def test_control_operations_take_an_arn_where_moto_fails(kms: Any, key: Any) -> None:
    kms.disable_key(KeyId=key["Arn"])
    assert kms.describe_key(KeyId=key["Arn"])["KeyMetadata"]["KeyState"] == "Disabled"
    kms.enable_key(KeyId=key["Arn"])
    kms.enable_key_rotation(KeyId=key["Arn"])
    kms.disable_key_rotation(KeyId=key["Arn"])
    kms.update_key_description(KeyId=key["Arn"], Description="tokens")
    kms.tag_resource(KeyId=key["Arn"], Tags=[{"TagKey": "team", "TagValue": "security"}])
    assert kms.list_resource_tags(KeyId=key["Arn"])["Tags"] == [{"TagKey": "team", "TagValue": "security"}]
    assert kms.describe_key(KeyId=key["Arn"])["KeyMetadata"]["Description"] == "tokens"


def test_disabling_a_disabled_key_is_no_error(kms: Any, key: Any) -> None:
    kms.disable_key(KeyId=key["KeyId"])
    kms.disable_key(KeyId=key["KeyId"])
    metadata = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert (metadata["KeyState"], metadata["Enabled"]) == ("Disabled", False)


def test_a_scheduled_deletion_can_be_cancelled_and_leaves_the_key_disabled(kms: Any, key: Any) -> None:
    scheduled = kms.schedule_key_deletion(KeyId=key["Arn"], PendingWindowInDays=7)
    assert (scheduled["KeyId"], scheduled["KeyState"]) == (key["Arn"], "PendingDeletion")
    assert timedelta(days=6) < scheduled["DeletionDate"] - datetime.now(UTC) <= timedelta(days=7)
    assert kms.describe_key(KeyId=key["Arn"])["KeyMetadata"]["DeletionDate"] == scheduled["DeletionDate"]
    for call in (kms.disable_key, kms.enable_key, kms.schedule_key_deletion, kms.enable_key_rotation):
        code, message = refusal(call, KeyId=key["Arn"])
        assert code == "KMSInvalidStateException"
        assert message == f"{key['Arn']} is pending deletion."
    assert kms.cancel_key_deletion(KeyId=key["Arn"])["KeyId"] == key["Arn"]
    metadata = kms.describe_key(KeyId=key["Arn"])["KeyMetadata"]
    assert metadata["KeyState"] == "Disabled"
    assert "DeletionDate" not in metadata


def test_a_deletion_that_was_not_scheduled_cannot_be_cancelled(kms: Any, key: Any) -> None:
    assert refusal(kms.cancel_key_deletion, KeyId=key["Arn"])[0] == "KMSInvalidStateException"


@pytest.mark.parametrize("days", [6, 31])
def test_the_waiting_period_of_a_deletion_is_7_to_30_days(kms: Any, key: Any, days: int) -> None:
    code, _ = refusal(kms.schedule_key_deletion, KeyId=key["Arn"], PendingWindowInDays=days)
    assert code == "ValidationException"


def test_a_key_policy_can_be_replaced_while_deletion_is_pending(kms: Any, key: Any) -> None:
    kms.schedule_key_deletion(KeyId=key["Arn"])
    policy = kms.get_key_policy(KeyId=key["Arn"])["Policy"].replace("key-default-1", "another")
    kms.put_key_policy(KeyId=key["Arn"], Policy=policy)
    answer = kms.get_key_policy(KeyId=key["Arn"])
    assert (answer["Policy"], answer["PolicyName"]) == (policy, "default")
    code, _ = refusal(kms.create_alias, AliasName=f"alias/{key['KeyId']}", TargetKeyId=key["Arn"])
    assert code == "KMSInvalidStateException"


def test_a_malformed_key_policy_is_refused(kms: Any, key: Any) -> None:
    code, _ = refusal(kms.put_key_policy, KeyId=key["Arn"], Policy="not a policy")
    assert code == "MalformedPolicyDocumentException"


def test_operations_on_a_key_do_not_accept_an_alias_where_kms_does_not(kms: Any, key: Any) -> None:
    alias = f"alias/{key['KeyId']}"
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == key["KeyId"]
    for call in (kms.disable_key, kms.get_key_policy, kms.get_key_rotation_status, kms.list_grants):
        assert refusal(call, KeyId=alias)[0] == "NotFoundException"


def test_a_missing_key_is_not_found_by_any_operation(kms: Any) -> None:
    missing = "00000000-0000-4000-8000-000000000000"
    for call in (
        kms.describe_key,
        kms.get_key_policy,
        kms.list_grants,
        kms.list_key_rotations,
        kms.get_key_last_usage,
    ):
        code, message = refusal(call, KeyId=missing)
        assert code == "NotFoundException"
        assert missing in message


def test_aliases_of_keys_that_nobody_made_are_not_listed(kms: Any, key: Any) -> None:
    kms.create_alias(AliasName=f"alias/{key['KeyId']}", TargetKeyId=key["KeyId"])
    aliases = kms.list_aliases()["Aliases"]
    known = {one["KeyId"] for one in kms.list_keys()["Keys"]}
    assert f"alias/{key['KeyId']}" in [one["AliasName"] for one in aliases]
    assert {one["TargetKeyId"] for one in aliases} <= known


def test_a_grant_is_listed_with_the_key_it_is_on(kms: Any, key: Any) -> None:
    grantee = "arn:aws:iam::123456789012:role/keydeck-platform"
    made = kms.create_grant(KeyId=key["Arn"], GranteePrincipal=grantee, Operations=["Decrypt"])
    (grant,) = kms.list_grants(KeyId=key["Arn"])["Grants"]
    assert (grant["GrantId"], grant["KeyId"], grant["GranteePrincipal"]) == (
        made["GrantId"],
        key["Arn"],
        grantee,
    )
    assert grant["CreationDate"] <= datetime.now(UTC)
    kms.revoke_grant(KeyId=key["Arn"], GrantId=made["GrantId"])
    assert kms.list_grants(KeyId=key["Arn"])["Grants"] == []


def test_rotation_on_demand_adds_a_current_key_material(kms: Any, key: Any) -> None:
    assert kms.rotate_key_on_demand(KeyId=key["Arn"])["KeyId"] == key["KeyId"]
    first, second = kms.list_key_rotations(KeyId=key["Arn"], IncludeKeyMaterial="ALL_KEY_MATERIAL")[
        "Rotations"
    ]
    assert (first["KeyMaterialState"], first["KeyMaterialId"]) == ("NON_CURRENT", key["CurrentKeyMaterialId"])
    assert "RotationDate" not in first
    assert (second["KeyMaterialState"], second["RotationType"]) == ("CURRENT", "ON_DEMAND")
    assert datetime.now(UTC) - second["RotationDate"] < timedelta(minutes=5)
    current = kms.describe_key(KeyId=key["Arn"])["KeyMetadata"]["CurrentKeyMaterialId"]
    assert current == second["KeyMaterialId"]
    assert re.fullmatch("[0-9a-f]{64}", current)
    (listed,) = kms.list_key_rotations(KeyId=key["Arn"])["Rotations"]
    assert listed["KeyMaterialId"] == current


def test_a_key_can_be_rotated_on_demand_25_times(kms: Any, key: Any) -> None:
    for _ in range(25):
        kms.rotate_key_on_demand(KeyId=key["Arn"])
    code, message = refusal(kms.rotate_key_on_demand, KeyId=key["Arn"])
    assert code == "LimitExceededException"
    assert key["Arn"] in message


def test_rotations_are_listed_in_pages(kms: Any, key: Any) -> None:
    for _ in range(4):
        kms.rotate_key_on_demand(KeyId=key["Arn"])
    pages, request = [], {"KeyId": key["Arn"], "IncludeKeyMaterial": "ALL_KEY_MATERIAL", "Limit": 2}
    while True:
        page = kms.list_key_rotations(**request)
        pages.append([one["KeyMaterialId"] for one in page["Rotations"]])
        if not page["Truncated"]:
            break
        request["Marker"] = page["NextMarker"]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert len(set(itertools.chain.from_iterable(pages))) == 5
    code, _ = refusal(kms.list_key_rotations, KeyId=key["Arn"], Marker="made-up")
    assert code == "InvalidMarkerException"


def test_a_disabled_key_does_not_rotate(kms: Any, key: Any) -> None:
    kms.disable_key(KeyId=key["Arn"])
    assert refusal(kms.rotate_key_on_demand, KeyId=key["Arn"])[0] == "DisabledException"
    assert refusal(kms.enable_key_rotation, KeyId=key["Arn"])[0] == "DisabledException"


def test_the_rotation_schedule_keeps_its_period(kms: Any, key: Any) -> None:
    status = kms.get_key_rotation_status(KeyId=key["Arn"])
    assert status["KeyRotationEnabled"] is False
    assert "NextRotationDate" not in status
    kms.enable_key_rotation(KeyId=key["Arn"], RotationPeriodInDays=180)
    status = kms.get_key_rotation_status(KeyId=key["Arn"])
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 180)
    assert timedelta(days=179) < status["NextRotationDate"] - datetime.now(UTC) <= timedelta(days=180)
    kms.disable_key_rotation(KeyId=key["Arn"])
    kms.enable_key_rotation(KeyId=key["Arn"])
    assert kms.get_key_rotation_status(KeyId=key["Arn"])["RotationPeriodInDays"] == 365


def test_a_rotation_period_is_at_most_2560_days(kms: Any, key: Any) -> None:
    code, _ = refusal(kms.enable_key_rotation, KeyId=key["Arn"], RotationPeriodInDays=2561)
    assert code == "ValidationException"


def test_keys_that_cannot_rotate_say_so(kms: Any) -> None:
    signing = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]
    imported = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]
    assert imported["KeyState"] == "PendingImport"
    assert "CurrentKeyMaterialId" not in signing
    for key in (signing, imported):
        assert refusal(kms.rotate_key_on_demand, KeyId=key["Arn"])[0] == "UnsupportedOperationException"
        assert refusal(kms.enable_key_rotation, KeyId=key["Arn"])[0] == "UnsupportedOperationException"
        assert kms.get_key_rotation_status(KeyId=key["Arn"])["KeyRotationEnabled"] is False


def test_the_last_usage_names_operation_and_event(kms: Any, key: Any, client: Callable[..., Any]) -> None:
    unused = kms.get_key_last_usage(KeyId=key["KeyId"])
    assert unused["KeyLastUsage"] == {}
    assert unused["TrackingStartDate"] == unused["KeyCreationDate"] == key["CreationDate"]
    made = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
    refusal(kms.decrypt, CiphertextBlob=b"not a blob of KMS")
    usage = kms.get_key_last_usage(KeyId=key["Arn"])["KeyLastUsage"]
    assert usage["Operation"] == "GenerateDataKey"
    assert usage["KmsRequestId"] == made["ResponseMetadata"]["RequestId"]
    kms.decrypt(CiphertextBlob=made["CiphertextBlob"])
    assert kms.get_key_last_usage(KeyId=key["KeyId"])["KeyLastUsage"]["Operation"] == "Decrypt"


def test_reencrypt_is_a_use_of_both_keys(kms: Any, key: Any) -> None:
    other = kms.create_key()["KeyMetadata"]
    blob = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other["Arn"])
    uses = [kms.get_key_last_usage(KeyId=one["KeyId"])["KeyLastUsage"] for one in (key, other)]
    assert [use["Operation"] for use in uses] == ["ReEncrypt", "ReEncrypt"]
    assert uses[0]["CloudTrailEventId"] == uses[1]["CloudTrailEventId"]


def test_uses_before_tracking_began_are_unknown(kms: Any, key: Any, endpoint: EndpointProcess) -> None:
    created = datetime.now(UTC) - timedelta(days=400)
    tracking = datetime.now(UTC) - timedelta(days=90)
    endpoint.control.set_usage_tracking(tracking)
    endpoint.control.backdate(key["Arn"], created)
    endpoint.control.history([PastCall(created + timedelta(days=1), PLATFORM, "Decrypt", key["Arn"])])
    usage = kms.get_key_last_usage(KeyId=key["Arn"])
    assert usage["KeyLastUsage"] == {}
    assert abs(usage["TrackingStartDate"] - tracking) < timedelta(seconds=1)
    assert abs(usage["KeyCreationDate"] - created) < timedelta(seconds=1)


def test_a_multi_region_replica_shares_material_but_not_state(client: Callable[..., Any]) -> None:
    primary, replica = client("kms"), client("kms", region="eu-central-1")
    key = primary.create_key(MultiRegion=True)["KeyMetadata"]
    assert key["KeyId"].startswith("mrk-")
    copied = primary.replicate_key(KeyId=key["Arn"], ReplicaRegion="eu-central-1")["ReplicaKeyMetadata"]
    assert copied["CurrentKeyMaterialId"] == key["CurrentKeyMaterialId"]
    made = primary.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
    opened = replica.decrypt(CiphertextBlob=made["CiphertextBlob"])
    assert (opened["Plaintext"], opened["KeyId"]) == (made["Plaintext"], copied["Arn"])
    replica.disable_key(KeyId=copied["Arn"])
    assert primary.decrypt(CiphertextBlob=made["CiphertextBlob"])["KeyId"] == key["Arn"]
    kinds = [
        one.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["MultiRegionConfiguration"]["MultiRegionKeyType"]
        for one in (primary, replica)
    ]
    assert kinds == ["PRIMARY", "REPLICA"]
    assert refusal(replica.rotate_key_on_demand, KeyId=copied["Arn"])[0] in (
        "UnsupportedOperationException",
        "DisabledException",
    )
    scheduled = primary.schedule_key_deletion(KeyId=key["Arn"])
    assert scheduled["KeyState"] == "PendingReplicaDeletion"
    assert "DeletionDate" not in scheduled


def test_an_operation_that_nobody_implements_is_not_retried(kms: Any, key: Any) -> None:
    code, _ = refusal(kms.update_primary_region, KeyId=key["Arn"], PrimaryRegion="eu-central-1")
    assert code == "NotImplemented"


@pytest.mark.parametrize(
    "operation",
    [
        "DescribeKey",
        "GetKeyLastUsage",
        "GetKeyPolicy",
        "GetKeyRotationStatus",
        "GenerateDataKey",
        "ListAliases",
        "ListGrants",
        "ListKeyRotations",
        "RotateKeyOnDemand",
        "ScheduleKeyDeletion",
    ],
)
def test_answers_have_only_members_that_botocore_knows(
    kms: Any, endpoint: EndpointProcess, operation: str
) -> None:
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName=f"alias/{key['KeyId']}", TargetKeyId=key["KeyId"])
    kms.create_grant(
        KeyId=key["Arn"], GranteePrincipal="arn:aws:iam::123456789012:root", Operations=["Decrypt"]
    )
    kms.enable_key_rotation(KeyId=key["Arn"])
    kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
    request = {"KeyId": key["Arn"]} | ({"KeySpec": "AES_256"} if operation == "GenerateDataKey" else {})
    document = raw_answer(
        endpoint, operation, request, credential=f"{PLATFORM}/20260101/{REGION}/kms/aws4_request"
    )
    shape = kms.meta.service_model.operation_model(operation).output_shape
    assert unknown_members(shape, document) == []
    assert document


def test_an_unsigned_call_is_refused(kms: Any, endpoint: EndpointProcess) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        raw_answer(endpoint, "ListKeys", {}, credential="")
    with caught.value as answer:
        assert json.load(answer)["__type"] == "MissingAuthenticationTokenException"


def raw_answer(endpoint: EndpointProcess, operation: str, request: Any, credential: str) -> Any:
    headers = {"X-Amz-Target": f"TrentService.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    if credential:
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"
        )
    call = urllib.request.Request(endpoint.url, json.dumps(request).encode(), headers)
    with urllib.request.urlopen(call) as answer:
        return json.load(answer)


def unknown_members(shape: Any, value: Any, path: str = "") -> list[str]:
    if shape.type_name == "structure":
        unknown = [f"{path}.{name}" for name in value if name not in shape.members]
        for name, member in shape.members.items():
            if value.get(name) is not None:
                unknown += unknown_members(member, value[name], f"{path}.{name}")
        return unknown
    if shape.type_name == "list":
        return [found for item in value for found in unknown_members(shape.member, item, path)]
    if shape.metadata.get("enum") and value not in shape.metadata["enum"]:
        return [f"{path}={value}"]
    return []


def test_only_a_primary_is_replicated_and_once_to_a_region(kms: Any, key: Any, client: Any) -> None:
    assert refusal(kms.replicate_key, KeyId=key["KeyId"], ReplicaRegion="us-east-1")[0] == (
        "UnsupportedOperationException"
    )
    primary = kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    kms.replicate_key(KeyId=primary, ReplicaRegion="us-east-1")
    code, message = refusal(kms.replicate_key, KeyId=primary, ReplicaRegion="us-east-1")
    assert (code, "us-east-1" in message) == ("AlreadyExistsException", True)
    assert refusal(kms.replicate_key, KeyId=primary, ReplicaRegion=REGION)[0] == "AlreadyExistsException"
    elsewhere = client("kms", region="us-east-1")
    replica = primary.replace(REGION, "us-east-1")
    assert refusal(elsewhere.replicate_key, KeyId=replica, ReplicaRegion="us-east-2")[0] == (
        "UnsupportedOperationException"
    )
    kms.disable_key(KeyId=primary)
    assert refusal(kms.replicate_key, KeyId=primary, ReplicaRegion="us-east-2")[0] == "DisabledException"


def test_a_grant_that_is_not_there_is_neither_revoked_nor_retired(kms: Any, key: Any) -> None:
    grantee = "arn:aws:iam::123456789012:role/keydeck-platform"
    made = kms.create_grant(KeyId=key["Arn"], GranteePrincipal=grantee, Operations=["Decrypt"])["GrantId"]
    for call in (kms.revoke_grant, kms.retire_grant):
        assert refusal(call, KeyId=key["Arn"], GrantId="0" * 64)[0] == "NotFoundException"
    kms.retire_grant(KeyId=key["Arn"], GrantId=made)
    assert kms.list_grants(KeyId=key["Arn"])["Grants"] == []
    assert refusal(kms.retire_grant, KeyId=key["Arn"], GrantId=made)[0] == "NotFoundException"


def test_an_alias_moves_only_to_a_key_that_is_not_pending_deletion(kms: Any, key: Any) -> None:
    alias, other = f"alias/moves-{key['KeyId']}", kms.create_key()["KeyMetadata"]["KeyId"]
    assert refusal(kms.update_alias, AliasName=alias, TargetKeyId=other)[0] == "NotFoundException"
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    assert refusal(kms.create_alias, AliasName=alias, TargetKeyId=other)[0] == "AlreadyExistsException"
    kms.schedule_key_deletion(KeyId=other)
    assert refusal(kms.update_alias, AliasName=alias, TargetKeyId=other)[0] == "KMSInvalidStateException"
    kms.cancel_key_deletion(KeyId=other)
    kms.schedule_key_deletion(KeyId=key["KeyId"])
    kms.update_alias(AliasName=alias, TargetKeyId=other)
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == other


def test_a_key_is_made_with_its_policy_and_not_with_a_malformed_one(kms: Any) -> None:
    before = len(kms.list_keys()["Keys"])
    code, _ = refusal(kms.create_key, Policy="{}")
    assert (code, len(kms.list_keys()["Keys"])) == ("MalformedPolicyDocumentException", before)
    default = kms.get_key_policy(KeyId=kms.create_key()["KeyMetadata"]["KeyId"])["Policy"]
    policy = default.replace("key-default-1", "another")
    made = kms.create_key(Policy=policy)["KeyMetadata"]["KeyId"]
    assert kms.get_key_policy(KeyId=made)["Policy"] == policy
