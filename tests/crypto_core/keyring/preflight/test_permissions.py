"""Preflight: what is permitted, what stays not known, and that nothing is done to find out."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from console.sandbox.endpoint import Denial, EndpointControl, Fault
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms import KmsApi
from crypto_core.keyring.preflight import Permission, Preflight
from crypto_core.values.errors import ReadOnlyError
from tests.crypto_core.keyring.preflight.scene import DECRYPT, FROM, GENERATE, TO, BlobOf, Overheard, verdicts
from tests.crypto_core.keyring.scene import ELSEWHERE, REGION, NewKey, wrapped


def used(client: Any, key: str) -> Any:
    """The last cryptographic operation that really used the key."""
    return client.get_key_last_usage(KeyId=key).get("KeyLastUsage")


# What is permitted


def test_everything_that_is_permitted_is_found_permitted_and_nothing_is_done(
    kms: Overheard, preflight: Preflight, sandbox: Sandbox, new_key: NewKey, blob_of: BlobOf, client: Any
) -> None:
    old, new = new_key(), new_key()
    blob = blob_of(old)
    before = [used(client, key) for key in (old, new)]
    found = (
        preflight.may_generate(new),
        preflight.may_decrypt(old, blob),
        *preflight.may_reencrypt(old, new, blob),
    )
    assert found == (
        Permission(GENERATE, new, True),
        Permission(DECRYPT, old, True),
        Permission(FROM, old, True),
        Permission(TO, new, True),
    )
    assert [operation for operation, _ in kms.asked] == ["GenerateDataKey", "Decrypt", "ReEncrypt"]
    assert all(parameters["DryRun"] is True for _, parameters in kms.asked)
    assert kms.answers == []
    assert [used(client, key) for key in (old, new)] == before

    trail = sandbox.client("cloudtrail")
    for key, names in ((old, ["Decrypt", "ReEncrypt"]), (new, ["GenerateDataKey", "ReEncrypt"])):
        attribute = [{"AttributeKey": "ResourceName", "AttributeValue": key}]
        events = trail.lookup_events(LookupAttributes=attribute)["Events"]
        records = [json.loads(event["CloudTrailEvent"]) for event in reversed(events)]
        rehearsed = [r["eventName"] for r in records if r.get("errorCode") == "DryRunOperationException"]
        assert rehearsed == names


@pytest.mark.parametrize("form", ["key id", "alias", "alias ARN"])
def test_a_key_may_be_named_in_any_form_and_is_named_so_in_the_answer(
    preflight: Preflight, new_key: NewKey, client: Any, blob_of: BlobOf, form: str
) -> None:
    key, other = new_key(), new_key()
    alias = f"alias/test-{uuid4().hex[:12]}"
    client.create_alias(AliasName=alias, TargetKeyId=key)
    name = {
        "key id": key.rpartition("/")[2],
        "alias": alias,
        "alias ARN": f"{key.rpartition(':')[0]}:{alias}",
    }
    assert preflight.may_generate(name[form]) == Permission(GENERATE, name[form], True)
    assert preflight.may_decrypt(name[form], blob_of(key)) == Permission(DECRYPT, name[form], True)
    assert verdicts(preflight.may_reencrypt(name[form], other, blob_of(key))) == [
        (FROM, name[form], True),
        (TO, other, True),
    ]
    client.disable_key(KeyId=key)
    assert verdicts(preflight.may_reencrypt(name[form], other, blob_of(other))) == [
        (FROM, name[form], False),
        (TO, other, None),
    ]
    assert verdicts(preflight.may_reencrypt(other, name[form], blob_of(other))) == [
        (FROM, other, True),
        (TO, name[form], False),
    ]
    client.delete_alias(AliasName=alias)


def test_a_key_of_another_region_is_asked_about_there(
    kms: Overheard, preflight: Preflight, sandbox: Sandbox
) -> None:
    key = KmsApi([ELSEWHERE], attempts=1).call("CreateKey")["KeyMetadata"]["Arn"]
    assert preflight.may_generate(key).allowed is True
    assert preflight.may_decrypt(key, None).allowed is True
    assert verdicts(preflight.may_reencrypt(key, key, None)) == [(FROM, key, True), (TO, key, True)]


# What is not known


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("ThrottlingException", "throttles"),
        ("KMSInternalException", "failed internally"),
        ("KeyUnavailableException", "not available right now"),
        ("DependencyTimeoutException", "timed out"),
        ("ExpiredTokenException", "session has expired"),
        ("ValidationException", "ValidationException"),
        ("reset", "No answer from AWS"),
    ],
)
def test_a_failure_that_says_nothing_about_permission_leaves_it_not_known(
    aws: EndpointControl, preflight: Preflight, new_key: NewKey, blob_of: BlobOf, error: str, says: str
) -> None:
    key, other = new_key(), new_key()
    blob = blob_of(key)
    aws.add_fault(Fault("*", error))
    found = (
        preflight.may_generate(key),
        preflight.may_decrypt(key, blob),
        *preflight.may_reencrypt(key, other, blob),
    )
    assert [p.allowed for p in found] == [None] * 4
    for permission in found:
        assert permission.reason.startswith("Not known: ")
        assert says in permission.reason
    if blob is None:
        assert all("there is no sample" in p.reason for p in found[1:])


def test_without_a_sample_a_boto3_that_can_not_ignore_the_ciphertext_leaves_it_not_known(
    kms: Overheard, preflight: Preflight, client: Any, new_key: NewKey
) -> None:
    key = new_key()
    service: Any = kms._client("kms", REGION).meta.service_model
    for operation in ("Decrypt", "ReEncrypt"):
        del service.operation_model(operation).input_shape.members["DryRunModifiers"]
    for found in (preflight.may_decrypt(key, None), *preflight.may_reencrypt(key, key, None)):
        assert found.allowed is None
        assert found.reason.startswith("Not known: there is no sample")
    blob = wrapped(client, key)
    assert preflight.may_decrypt(key, blob) == Permission(DECRYPT, key, True)
    # A sample that is refused says nothing, and there is no other way to ask.
    others = wrapped(client, new_key())
    found = preflight.may_decrypt(key, others)
    assert found.allowed is None
    assert "was not made under" in found.reason


# Read only


def test_a_preflight_is_possible_in_read_only_mode(
    aws: EndpointControl, client: Any, new_key: NewKey, blob_of: BlobOf
) -> None:
    old, new = new_key(), new_key()
    preflight = Preflight(KmsApi([REGION], attempts=1, read_only=True))
    blob = blob_of(old)
    assert preflight.may_generate(new).allowed is True
    assert preflight.may_decrypt(old, blob).allowed is True
    assert [p.allowed for p in preflight.may_reencrypt(old, new, blob)] == [True, True]
    aws.add_denial(Denial("keydeck-oncall", TO, new))
    assert [p.allowed for p in preflight.may_reencrypt(old, new, blob)] == [True, False]


@pytest.mark.parametrize(
    "dry_run", [{}, {"DryRun": False}, {"DryRun": None}, {"DryRun": 1}, {"DryRun": "true"}]
)
@pytest.mark.parametrize("operation", ["GenerateDataKey", "ReEncrypt"])
def test_read_only_lets_nothing_pass_that_is_not_surely_a_dry_run(
    aws: EndpointControl, new_key: NewKey, operation: str, dry_run: dict[str, Any]
) -> None:
    kms = KmsApi([REGION], read_only=True)
    with pytest.raises(ReadOnlyError, match=f"kms:{operation} is refused"):
        kms.call(operation, KeyId=new_key(), **dry_run)
    assert kms.calls == 0


@pytest.mark.parametrize(
    "operation",
    ["CreateGrant", "Encrypt", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "RetireGrant"],
)
def test_read_only_refuses_the_dry_run_of_what_no_preflight_needs(
    aws: EndpointControl, new_key: NewKey, operation: str
) -> None:
    kms = KmsApi([REGION], read_only=True)
    with pytest.raises(ReadOnlyError):
        kms.call(operation, KeyId=new_key(), DryRun=True)
    assert kms.calls == 0


# Observed


def test_a_dry_run_that_passes_is_no_failure_to_whoever_counts(
    aws: EndpointControl, client: Any, new_key: NewKey
) -> None:
    told: list[tuple[str, str]] = []

    class Counting:
        def operation(self, name: str, format_: str, failure: str) -> None:
            raise AssertionError("no token is opened")

        def kms_call(self, operation: str, seconds: float, failure: str) -> None:
            assert seconds > 0
            told.append((operation, failure))

        def cache(self, *, hit: bool) -> None:
            raise AssertionError("nothing is cached")

    key = new_key()
    preflight = Preflight(KmsApi([REGION], attempts=1, observer=Counting()))
    preflight.may_generate(key)
    aws.add_denial(Denial("*", DECRYPT, key))
    preflight.may_decrypt(key, None)
    assert told == [("GenerateDataKey", ""), ("Decrypt", "KmsAccessDeniedError")]
