"""What an endpoint in AWS's place lacks is told as that, asked for once, and nothing else stops for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.sandbox.endpoint import EndpointControl, Fault
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.failures import lacks_operation
from crypto_core.aws.kms import KmsApi
from crypto_core.keys.inventory import KeyInventory
from crypto_core.reencryption.bulk.retries import CallFailure, Refused, Retries
from crypto_core.values.errors import KmsAccessDeniedError, MissingOperationError
from tests.http_answers import Answer, Asked, answering

REGION = "eu-west-1"
LACKS = (
    pytest.param(Fault("*", "NotImplemented", message="no"), id="status 501"),
    pytest.param(Fault("*", "UnknownOperationException", message="what?"), id="unknown operation"),
    pytest.param(Fault("*", "InternalFailure", message="GetKeyLastUsage is not emulated"), id="not emulated"),
    pytest.param(Fault("*", "InternalFailure", message="not yet implemented"), id="not yet implemented"),
)


@pytest.fixture
def kms(aws: EndpointControl) -> KmsApi:
    return KmsApi([REGION], attempts=3)


def lacking(aws: EndpointControl, fault: Fault, *operations: str) -> None:
    for operation in operations:
        aws.add_fault(Fault(operation, fault.error, message=fault.message))


def calls(aws: EndpointControl, operation: str) -> int:
    return aws.stats().calls.get(f"kms:{operation}", 0)


@pytest.mark.parametrize("fault", LACKS)
def test_what_the_endpoint_does_not_have_is_asked_for_once_and_named(
    aws: EndpointControl, kms: KmsApi, new_key: Callable[[], str], fault: Fault
) -> None:
    lacking(aws, fault, "GetKeyLastUsage")
    before = calls(aws, "GetKeyLastUsage")
    with pytest.raises(MissingOperationError) as raised:
        kms.call("GetKeyLastUsage", KeyId=new_key())
    assert calls(aws, "GetKeyLastUsage") == before + 1
    assert raised.value.message.startswith("This endpoint does not have GetKeyLastUsage (")
    assert raised.value.why == "this endpoint does not have GetKeyLastUsage"
    assert not raised.value.transient


@pytest.mark.parametrize(
    ("code", "status", "message", "lacks"),
    [
        ("UnsupportedOperationException", 400, "this key can't: not implemented", False),
        ("AccessDeniedException", 400, "role/not implemented may not", False),
        ("ThrottlingException", 400, "not emulated", False),
        ("500", 500, "this operation is NOT IMPLEMENTED here", True),
        ("", 404, "not been implemented", True),
        ("InternalFailure", 500, "x" * 5_000 + " not implemented", False),
        ("Whatever", 501, "", True),
    ],
)
def test_only_what_says_so_is_taken_for_it(code: str, status: int, message: str, lacks: bool) -> None:
    refused = Refused(status, code, message, {})
    assert lacks_operation(refused.response) is lacks
    if lacks:
        assert Retries().failure(refused) is CallFailure.FINAL


def test_hostile_words_of_an_endpoint_are_cleaned(
    aws: EndpointControl, kms: KmsApi, new_key: Callable[[], str]
) -> None:
    aws.add_fault(Fault("ListGrants", "NotImplemented", message="\x1b[31mnot\u202e[red]here"))
    with pytest.raises(MissingOperationError) as raised:
        kms.call("ListGrants", KeyId=new_key())
    assert "\x1b" not in str(raised.value)
    assert "\u202e" not in str(raised.value)


def test_keys_are_listed_by_an_endpoint_that_has_little_else(
    aws: EndpointControl, kms: KmsApi, new_key: Callable[[], str]
) -> None:
    key = new_key()
    told = ("GetKeyLastUsage", "GetKeyRotationStatus", "ListKeyRotations", "ListGrants", "ListResourceTags")
    for operation in (*told, "ListAliases", "ListKeys"):
        aws.add_fault(Fault(operation, "UnknownOperationException"))
    (state,) = KeyInventory(kms, guarding=lambda: (key,)).list()
    assert state.usable
    assert state.last_used_at is None
    assert state.rotation_enabled is None
    assert state.grants is None
    named = {part: why.rpartition(" ")[2] for part, why in state.missing.items()}
    assert named == {
        "last use": "GetKeyLastUsage",
        "rotation": "GetKeyRotationStatus",
        "materials": "ListKeyRotations",
        "grants": "ListGrants",
        "tags": "ListResourceTags",
        "aliases": "ListAliases",
        "other keys": "ListKeys",
    }


def only_kms(asked: Asked) -> Answer:
    """Speaks KMS; anything else is answered as such servers do, in plain text."""
    if asked.method == "GET":
        return 405, {}, b"405 method not allowed"
    if asked.headers.get("X-Amz-Target", "").startswith("TrentService."):
        return 200, {}, b'{"Keys": []}'
    return 415, {}, b"Only content type application/x-amz-json-1.1 is supported"


@pytest.mark.parametrize(
    ("service", "ask"),
    [
        ("STS", lambda kms: kms.identity()),
        ("CloudTrail", lambda kms: kms.read("cloudtrail", "DescribeTrails", region=REGION)),
        ("S3", lambda kms: kms.read("s3", "ListObjectsV2", region=REGION, Bucket="trail")),
    ],
)
def test_other_services_asked_at_an_endpoint_of_kms_alone_are_told_with_the_setting_that_parts_them(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, service: str, ask: Callable[[KmsApi], Any]
) -> None:
    for name, value in sandbox.settings().items():
        monkeypatch.setenv(name, value)
    with answering(only_kms) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        kms = KmsApi([REGION], attempts=1)
        assert kms.call("ListKeys")["Keys"] == []
        with pytest.raises(MissingOperationError) as raised:
            ask(kms)
        assert service in raised.value.message
        assert "AWS_ENDPOINT_URL_KMS" in raised.value.remedy


def test_a_service_of_its_own_endpoint_is_not_told_to_move(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, aws: EndpointControl
) -> None:
    aws.add_fault(Fault("LookupEvents", "NotImplemented"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")
    with pytest.raises(MissingOperationError) as raised:
        KmsApi([REGION], attempts=1).read("cloudtrail", "LookupEvents", region=REGION)
    assert "AWS_ENDPOINT_URL_KMS" not in raised.value.remedy


def test_a_denied_identity_is_no_missing_operation(aws: EndpointControl, kms: KmsApi) -> None:
    aws.add_fault(Fault("GetCallerIdentity", "AccessDenied", message="no"))
    with pytest.raises(KmsAccessDeniedError):
        kms.identity()
