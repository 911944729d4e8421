"""What the endpoint lets go wrong on purpose, and whom it takes callers for."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, IncompleteRead
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from console.sandbox.endpoint import (
    ANALYST,
    INTRUDER,
    ON_CALL,
    OPERATOR,
    PLATFORM,
    Denial,
    EndpointControlError,
    EndpointProcess,
    Fault,
)
from tests.console.sandbox.refusals import refusal

REGION = "eu-west-1"


def refusal_or_none(call: Callable[..., Any], **request: Any) -> str | None:
    try:
        call(**request)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return None


@pytest.fixture(autouse=True)
def well_again(endpoint: EndpointProcess) -> Iterator[None]:
    yield
    endpoint.control.clear()


def test_calls_beyond_the_set_rate_are_throttled(kms: Any, key: Any, endpoint: EndpointProcess) -> None:
    endpoint.control.set_throttle(1)
    kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
    codes = [refusal_or_none(kms.generate_data_key, KeyId=key["Arn"], KeySpec="AES_256") for _ in range(5)]
    assert "ThrottlingException" in codes
    assert kms.describe_key(KeyId=key["Arn"])


def test_a_rate_of_zero_refuses_every_call_and_none_lifts_it(
    kms: Any, key: Any, endpoint: EndpointProcess
) -> None:
    endpoint.control.set_throttle(0)
    with pytest.raises(ClientError) as caught:
        kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
    assert caught.value.response["Error"]["Code"] == "ThrottlingException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    endpoint.control.set_throttle(None)
    assert kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")


def test_latency_delays_the_answer(kms: Any, key: Any, endpoint: EndpointProcess) -> None:
    endpoint.control.set_latency(60)
    started = time.monotonic()
    kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
    assert time.monotonic() - started >= 0.06


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("KMSInternalException", 500),
        ("DependencyTimeoutException", 503),
        ("KeyUnavailableException", 500),
        ("ExpiredTokenException", 400),
    ],
)
def test_the_next_calls_of_an_operation_fail_as_told(
    kms: Any, key: Any, endpoint: EndpointProcess, error: str, status: int
) -> None:
    endpoint.control.add_fault(Fault("GenerateDataKey", error, count=2))
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
        assert caught.value.response["Error"]["Code"] == error
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    blob = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)


def test_a_fault_hits_only_its_operation_and_its_fraction(
    kms: Any, key: Any, endpoint: EndpointProcess
) -> None:
    endpoint.control.add_fault(Fault("*Encrypt", "KMSInternalException", fraction=0.5))
    codes = [refusal_or_none(kms.encrypt, KeyId=key["Arn"], Plaintext=b"x") for _ in range(60)]
    assert set(codes) == {None, "KMSInternalException"}
    for _ in range(5):
        kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")


def test_a_fault_of_one_region_leaves_the_others_alone(
    client: Callable[..., Any], endpoint: EndpointProcess
) -> None:
    there, down = client("kms", region="eu-central-1"), client("kms", region="eu-west-1")
    endpoint.control.add_fault(Fault("*", "KMSInternalException", region="eu-west-*"))
    there.list_keys()
    with pytest.raises(ClientError, match="KMSInternalException"):
        down.list_keys()
    endpoint.control.clear()
    down.list_keys()


def test_a_reset_connection_reaches_the_client_as_such(kms: Any, key: Any, endpoint: EndpointProcess) -> None:
    endpoint.control.add_fault(Fault("Encrypt", "reset", count=1))
    with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
        kms.encrypt(KeyId=key["Arn"], Plaintext=b"x")
    assert kms.encrypt(KeyId=key["Arn"], Plaintext=b"x")
    assert endpoint.stderr_tail() == ""


def test_half_an_answer_announces_more_than_it_sends(kms: Any, key: Any, endpoint: EndpointProcess) -> None:
    endpoint.control.add_fault(Fault("Encrypt", "half", count=1))
    connection = HTTPConnection(endpoint.url.removeprefix("http://"))
    scope = "AKIAKEYDECK/20260101/eu-west-1/kms/aws4_request"
    headers = {
        "X-Amz-Target": "TrentService.Encrypt",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}",
    }
    with closing(connection):
        connection.request("POST", "/", b"{}", headers)
        answer = connection.getresponse()
        assert answer.status == 200
        with pytest.raises(IncompleteRead):
            answer.read()
    assert kms.encrypt(KeyId=key["Arn"], Plaintext=b"x")
    assert endpoint.stderr_tail() == ""


def test_a_call_that_hangs_runs_into_the_clients_timeout(
    client: Callable[..., Any], key: Any, endpoint: EndpointProcess
) -> None:
    endpoint.control.add_fault(Fault("Encrypt", "hang", count=1))
    impatient = client("kms", read_timeout=0.2)
    with pytest.raises(ReadTimeoutError):
        impatient.encrypt(KeyId=key["Arn"], Plaintext=b"x")
    assert impatient.encrypt(KeyId=key["Arn"], Plaintext=b"x")


def test_a_session_that_has_expired_is_refused_everywhere_and_no_other_one(
    client: Callable[..., Any], kms: Any, key: Any, endpoint: EndpointProcess
) -> None:
    endpoint.control.expire(ANALYST)
    of_the_analyst = client("kms", ANALYST)
    before = endpoint.control.stats().calls
    assert refusal_or_none(of_the_analyst.describe_key, KeyId=key["Arn"]) == "ExpiredTokenException"
    assert refusal_or_none(client("sts", ANALYST).get_caller_identity) == "ExpiredToken"
    assert endpoint.control.stats().calls == before
    assert kms.describe_key(KeyId=key["Arn"])
    endpoint.control.clear()
    assert of_the_analyst.describe_key(KeyId=key["Arn"])


@pytest.mark.parametrize(
    ("minutes", "said"), [(-6, "Signature expired: "), (6, "Signature not yet current: ")]
)
def test_a_signature_of_another_time_is_refused(
    client: Callable[..., Any], kms: Any, key: Any, monkeypatch: pytest.MonkeyPatch, minutes: int, said: str
) -> None:
    def here(remove_tzinfo: bool = True) -> datetime:
        moment = datetime.now(UTC) + timedelta(minutes=minutes)
        return moment.replace(tzinfo=None) if remove_tzinfo else moment

    monkeypatch.setattr("botocore.auth.get_current_datetime", here)
    code, message = refusal(kms.describe_key, KeyId=key["Arn"])
    assert code == "InvalidSignatureException"
    assert message.startswith(said)
    assert refusal_or_none(client("sts").get_caller_identity) == "SignatureDoesNotMatch"
    minutes = 0
    assert kms.describe_key(KeyId=key["Arn"])


def test_a_denied_principal_is_told_what_it_may_not_do(
    client: Callable[..., Any], kms: Any, key: Any, endpoint: EndpointProcess
) -> None:
    endpoint.control.add_denial(Denial("keydeck-operator", "kms:Decrypt", key["Arn"]))
    blob = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    operator = client("kms", OPERATOR)
    with pytest.raises(ClientError) as caught:
        operator.decrypt(CiphertextBlob=blob)
    error = caught.value.response["Error"]
    assert error["Code"] == "AccessDeniedException"
    assert error["Message"] == (
        "User: arn:aws:sts::123456789012:assumed-role/keydeck-operator/olga.operator is not authorized to "
        f"perform: kms:Decrypt on resource: {key['Arn']} because no identity-based policy allows the "
        "kms:Decrypt action"
    )
    assert kms.decrypt(CiphertextBlob=blob)
    assert operator.describe_key(KeyId=key["Arn"])


def test_reencrypt_needs_both_of_its_permissions(kms: Any, key: Any, endpoint: EndpointProcess) -> None:
    other = kms.create_key()["KeyMetadata"]
    blob = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    endpoint.control.add_denial(Denial("keydeck-platform", "kms:ReEncryptTo", other["KeyId"]))
    with pytest.raises(ClientError, match=f"kms:ReEncryptTo on resource: {other['Arn']}"):
        kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other["Arn"])
    assert kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key["Arn"])


def test_a_key_can_be_denied_by_its_alias(kms: Any, key: Any, endpoint: EndpointProcess) -> None:
    alias = f"alias/{key['KeyId']}"
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    endpoint.control.add_denial(Denial("*", "kms:*", alias, reason="with an explicit deny in a key policy"))
    with pytest.raises(ClientError, match="with an explicit deny in a key policy"):
        kms.get_key_policy(KeyId=key["Arn"])


@pytest.mark.parametrize(
    ("service", "call", "action"),
    [
        ("kms", "list_keys", "kms:ListKeys"),
        ("kms", "create_key", "kms:CreateKey"),
        ("cloudtrail", "lookup_events", "cloudtrail:LookupEvents"),
        ("cloudtrail", "describe_trails", "cloudtrail:DescribeTrails"),
        ("sts", "get_caller_identity", "sts:GetCallerIdentity"),
        ("iam", "list_users", "iam:ListUsers"),
        ("s3", "list_buckets", "s3:ListAllMyBuckets"),
    ],
)
def test_any_action_of_any_service_can_be_denied(
    client: Callable[..., Any], endpoint: EndpointProcess, service: str, call: str, action: str
) -> None:
    endpoint.control.set_lookup_throttle(None)
    endpoint.control.add_denial(Denial("intruder", action))
    with pytest.raises(ClientError) as caught:
        getattr(client(service, INTRUDER), call)()
    assert caught.value.response["Error"]["Code"] in ("AccessDeniedException", "AccessDenied")
    assert f"perform: {action} " in caught.value.response["Error"]["Message"]
    getattr(client(service, ANALYST), call)()


def test_clear_makes_everything_well_again(kms: Any, key: Any, endpoint: EndpointProcess) -> None:
    endpoint.control.set_throttle(0)
    endpoint.control.add_denial(Denial("*", "kms:*"))
    endpoint.control.add_fault(Fault("*", "KMSInternalException"))
    endpoint.control.clear()
    assert kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")


@pytest.mark.parametrize(
    ("access_key_id", "arn"),
    [
        (PLATFORM, "arn:aws:sts::123456789012:assumed-role/keydeck-platform/platform-api"),
        (OPERATOR, "arn:aws:sts::123456789012:assumed-role/keydeck-operator/olga.operator"),
        (ON_CALL, "arn:aws:sts::123456789012:assumed-role/keydeck-oncall/omar.oncall"),
        (ANALYST, "arn:aws:iam::123456789012:user/keydeck-analyst"),
        (INTRUDER, "arn:aws:iam::123456789012:user/intruder"),
        ("testing", "arn:aws:iam::123456789012:user/testing"),
    ],
)
def test_the_access_key_selects_the_principal(
    client: Callable[..., Any], access_key_id: str, arn: str
) -> None:
    identity = client("sts", access_key_id).get_caller_identity()
    assert (identity["Arn"], identity["Account"]) == (arn, "123456789012")


def test_a_principal_can_be_added(client: Callable[..., Any], endpoint: EndpointProcess) -> None:
    arn = endpoint.control.add_principal("ASIANEWPRINCIPAL0001", "backup", "role", "nightly")
    assert arn == "arn:aws:sts::123456789012:assumed-role/backup/nightly"
    assert client("sts", "ASIANEWPRINCIPAL0001").get_caller_identity()["Arn"] == arn


def test_a_role_that_is_assumed_becomes_the_caller(client: Callable[..., Any]) -> None:
    issued = client("sts").assume_role(
        RoleArn="arn:aws:iam::123456789012:role/auditor", RoleSessionName="audit-1"
    )["Credentials"]
    identity = client("sts", issued["AccessKeyId"]).get_caller_identity()
    assert identity["Arn"] == "arn:aws:sts::123456789012:assumed-role/auditor/audit-1"


def test_an_access_key_of_an_iam_user_is_that_user(client: Callable[..., Any]) -> None:
    iam = client("iam")
    iam.create_user(UserName="dora")
    issued = iam.create_access_key(UserName="dora")["AccessKey"]
    identity = client("sts", issued["AccessKeyId"]).get_caller_identity()
    assert identity["Arn"] == "arn:aws:iam::123456789012:user/dora"


@pytest.mark.parametrize("fault", [Fault("*", "reset", fraction=1.5), Fault("*", "reset", count=-1)])
def test_a_fault_that_makes_no_sense_is_refused(endpoint: EndpointProcess, fault: Fault) -> None:
    with pytest.raises(EndpointControlError, match="fault"):
        endpoint.control.add_fault(fault)


def test_a_wrong_answer_is_whole_but_for_what_is_wrong(kms: Any, key: Any, endpoint: EndpointProcess) -> None:
    request = {"KeyId": key["Arn"], "KeySpec": "AES_256"}
    endpoint.control.add_fault(Fault("GenerateDataKey", "another bit", count=1))
    issued = kms.generate_data_key(**request)
    opened = kms.decrypt(CiphertextBlob=issued["CiphertextBlob"])
    differing = [a ^ b for a, b in zip(issued["Plaintext"], opened["Plaintext"], strict=True)]
    assert sorted(differing) == [*[0] * 31, 1]

    endpoint.control.add_fault(Fault("GenerateDataKey", "another blob"))
    first, second = (kms.generate_data_key(**request) for _ in range(2))
    assert kms.decrypt(CiphertextBlob=first["CiphertextBlob"])["Plaintext"] == first["Plaintext"]
    assert second["CiphertextBlob"] == first["CiphertextBlob"]
    assert second["Plaintext"] != first["Plaintext"]

    other = f"{key['Arn'].rpartition('/')[0]}/another"
    endpoint.control.add_fault(Fault("Decrypt", "another key", message=other))
    named = kms.decrypt(CiphertextBlob=first["CiphertextBlob"])
    assert (named["KeyId"], named["Plaintext"]) == (other, first["Plaintext"])
    assert kms.describe_key(KeyId=key["Arn"])["KeyMetadata"]["Arn"] == key["Arn"]
    endpoint.control.clear()
    assert kms.decrypt(CiphertextBlob=first["CiphertextBlob"])["KeyId"] == key["Arn"]
