"""KMS over HTTP: each failure is an error of its own that names the key, the action and the remedy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from console.sandbox.endpoint import Denial, EndpointControl, Fault
from crypto_core.aws import failures as kms_errors
from crypto_core.aws.kms import KmsApi
from crypto_core.values import errors
from tests.crypto_core.aws.kms.stage import NOWHERE, REGION, Stage
from tests.crypto_core.damaging import damaged


def disabled(s: Stage) -> None:
    s.client.disable_key(KeyId=s.key)
    s.generate()


def pending_deletion(s: Stage) -> None:
    s.client.schedule_key_deletion(KeyId=s.key, PendingWindowInDays=7)
    s.generate()


def pending_import(s: Stage) -> None:
    s.control.set_key_state(s.key, "PendingImport")
    s.generate()


def not_found(s: Stage) -> None:
    s.kms.call("DescribeKey", KeyId=NOWHERE)


def no_such_alias(s: Stage) -> None:
    s.kms.call("GenerateDataKey", KeyId="alias/nobody-made-this", KeySpec="AES_256")


def denied(s: Stage) -> None:
    s.control.add_denial(Denial("*", "kms:GenerateDataKey", s.key))
    s.generate()


def throttled(s: Stage) -> None:
    s.control.set_throttle(0)
    s.generate()


def invalid_ciphertext(s: Stage) -> None:
    s.decrypt(damaged(s.blob()))


def incorrect_key(s: Stage) -> None:
    s.decrypt(s.client.generate_data_key(KeyId=s.other, KeySpec="AES_256")["CiphertextBlob"])


def fault(error: str) -> Callable[[Stage], None]:
    def play(s: Stage) -> None:
        s.control.add_fault(Fault("GenerateDataKey", error))
        s.generate()

    return play


TOLD_APART = [
    pytest.param(disabled, errors.KeyDisabledError, False, "is disabled", id="disabled"),
    pytest.param(pending_deletion, errors.KeyStateError, False, "pending deletion", id="pending deletion"),
    pytest.param(pending_import, errors.KeyStateError, False, "pending import", id="pending import"),
    pytest.param(not_found, errors.KeyNotFoundError, False, NOWHERE, id="not found"),
    pytest.param(no_such_alias, errors.KeyNotFoundError, False, "alias/nobody-made-this", id="no such alias"),
    pytest.param(denied, errors.KmsAccessDeniedError, False, "kms:GenerateDataKey", id="denied"),
    pytest.param(throttled, errors.KmsThrottledError, True, "quota", id="throttled"),
    pytest.param(
        invalid_ciphertext, errors.InvalidCiphertextError, False, "can't open", id="invalid ciphertext"
    ),
    pytest.param(incorrect_key, errors.IncorrectKeyError, False, "was not made under", id="incorrect key"),
    *[
        pytest.param(fault(code), kind, transient, says, id=code)
        for code, kind, transient, says in [
            ("DependencyTimeoutException", errors.KmsDependencyTimeoutError, True, "timed out"),
            ("KMSInternalException", errors.KmsInternalError, True, "internally"),
            ("InternalFailure", errors.KmsInternalError, True, "internally"),
            ("ServiceUnavailable", errors.KmsInternalError, True, "internally"),
            ("KeyUnavailableException", errors.KeyUnavailableError, True, "not available"),
            ("ExpiredTokenException", errors.CredentialsExpiredError, False, "expired"),
            ("UnrecognizedClientException", errors.CredentialsError, False, "credentials"),
            ("InvalidSignatureException", errors.CredentialsError, False, "credentials"),
            ("LimitExceededException", errors.KmsLimitError, False, "limit"),
            ("KMSInvalidStateException", errors.KeyStateError, False, "does not permit"),
            ("InvalidGrantTokenException", errors.KmsRequestError, False, "InvalidGrantTokenException"),
            ("reset", errors.KmsUnreachableError, True, "No answer"),
        ]
    ],
]


OF_THE_KEY = (
    errors.KeyDisabledError,
    errors.KeyStateError,
    errors.KeyUnavailableError,
    errors.KmsAccessDeniedError,
    errors.KmsLimitError,
    errors.InvalidCiphertextError,
    errors.IncorrectKeyError,
)


@pytest.mark.parametrize(("play", "kind", "transient", "says"), TOLD_APART)
def test_each_failure_is_an_error_of_its_own(
    stage: Stage, play: Callable[[Stage], None], kind: type[errors.KmsError], transient: bool, says: str
) -> None:
    with pytest.raises(errors.KmsError) as caught:
        play(stage)
    error = caught.value
    assert type(error) is kind
    assert says in str(error)
    assert error.transient is transient
    assert error.operation in ("GenerateDataKey", "Decrypt", "DescribeKey")
    assert error.__cause__ is not None
    if kind in OF_THE_KEY:
        assert error.key == stage.key
        assert stage.key in error.message
    if kind not in (errors.KmsLimitError, errors.KmsRequestError):
        assert len(error.remedy) > 8
        assert error.remedy in str(error)


def test_a_denial_names_the_missing_action_and_who_lacks_it(stage: Stage) -> None:
    stage.control.add_denial(Denial("*", "kms:Decrypt", stage.key))
    with pytest.raises(errors.KmsAccessDeniedError) as caught:
        stage.decrypt(stage.blob())
    assert caught.value.action == "kms:Decrypt"
    assert "Allow kms:Decrypt" in caught.value.remedy
    assert "assumed-role/keydeck-oncall" in str(caught.value)


def test_a_denial_without_a_key_speaks_of_none(stage: Stage) -> None:
    stage.control.add_denial(Denial("*", "kms:ListKeys"))
    with pytest.raises(errors.KmsAccessDeniedError, match=r"^Access denied: kms:ListKeys \(") as caught:
        stage.kms.call("ListKeys")
    assert (caught.value.action, caught.value.key) == ("kms:ListKeys", "")


def test_without_a_key_id_the_error_names_the_key_that_kms_names(stage: Stage) -> None:
    blob = stage.blob()
    stage.client.disable_key(KeyId=stage.key)
    with pytest.raises(errors.KeyDisabledError) as caught:
        stage.kms.call("Decrypt", CiphertextBlob=blob)
    assert caught.value.key == stage.key
    assert stage.key in caught.value.message


def test_a_foreign_error_message_is_cleaned(aws: EndpointControl, kms: KmsApi) -> None:
    aws.add_fault(
        Fault("ListKeys", "AccessDeniedException", message="no\x1b[2J\u202eway\n[bold]" + "x" * 9000)
    )
    with pytest.raises(errors.KmsAccessDeniedError) as caught:
        kms.call("ListKeys")
    assert "no[2Jway [bold]xxx" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_failure_of_cloudtrail_is_told_in_its_name(aws: EndpointControl, kms: KmsApi) -> None:
    aws.add_denial(Denial("*", "cloudtrail:DescribeTrails"))
    with pytest.raises(errors.KmsAccessDeniedError) as denied:
        kms.read("cloudtrail", "DescribeTrails", region=REGION)
    assert denied.value.action == "cloudtrail:DescribeTrails"
    aws.clear()
    aws.add_fault(Fault("DescribeTrails", "ThrottlingException"))
    with pytest.raises(errors.KmsThrottledError, match="CloudTrail throttles DescribeTrails"):
        kms.read("cloudtrail", "DescribeTrails", region=REGION)
    aws.add_denial(Denial("*", "s3:ListBucket"))
    with pytest.raises(errors.KmsAccessDeniedError, match=r"Allow s3:ListBucket .* in the bucket policy"):
        kms.read("s3", "ListObjectsV2", region=REGION, Bucket="keydeck-sandbox-trail")
    with pytest.raises(errors.KmsRequestError, match="There is no such bucket"):
        kms.read("s3", "GetObject", region=REGION, Bucket="nobodys-bucket", Key="x")
    answer = {"Error": {"Code": "AccessDeniedException"}}
    told = kms_errors.error_from_response(answer, "GetTrailStatus", (), "cloudtrail")
    assert isinstance(told, errors.KmsAccessDeniedError)
    assert told.action == "cloudtrail:GetTrailStatus"


# ReEncrypt has two keys; its failures are about one of them


@pytest.mark.parametrize("action", ["kms:ReEncryptFrom", "kms:ReEncryptTo"])
def test_a_denied_rewrap_names_the_action_and_the_key_of_its_side(stage: Stage, action: str) -> None:
    stage.control.add_denial(Denial("*", action))
    with pytest.raises(errors.KmsAccessDeniedError) as caught:
        stage.reencrypt(stage.blob())
    assert caught.value.action == action
    assert caught.value.key == (stage.key if action == "kms:ReEncryptFrom" else stage.other)
    assert f"Allow {action}" in caught.value.remedy


@pytest.mark.parametrize("side", ["key", "other"])
def test_a_disabled_key_of_a_rewrap_is_the_one_that_is_named(stage: Stage, side: str) -> None:
    blob, broken = stage.blob(), getattr(stage, side)
    stage.client.disable_key(KeyId=broken)
    with pytest.raises(errors.KeyDisabledError) as caught:
        stage.reencrypt(blob)
    assert caught.value.key == broken
    assert caught.value.message.startswith(f"KMS key {broken} is disabled")


def test_a_rewrap_from_the_wrong_key_names_the_source(stage: Stage) -> None:
    made = stage.client.generate_data_key(KeyId=stage.other, KeySpec="AES_256")
    with pytest.raises(errors.IncorrectKeyError) as caught:
        stage.reencrypt(made["CiphertextBlob"])
    assert caught.value.key == stage.key
    assert stage.other not in str(caught.value)


def test_a_rewrap_of_a_damaged_data_key_names_the_source(stage: Stage) -> None:
    with pytest.raises(errors.InvalidCiphertextError) as caught:
        stage.reencrypt(damaged(stage.blob()))
    assert caught.value.key == stage.key


@pytest.mark.parametrize("side", ["key", "other"])
def test_a_rewrap_with_an_alias_that_is_not_there_names_the_alias(stage: Stage, side: str) -> None:
    blob = stage.blob()
    setattr(stage, side, "alias/nobody-made-this")
    with pytest.raises(errors.KeyNotFoundError) as caught:
        stage.reencrypt(blob)
    assert caught.value.key == "alias/nobody-made-this"
