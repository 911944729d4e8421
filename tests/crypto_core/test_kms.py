"""KMS over HTTP: every failure is told apart, read-only sends nothing, no data key gets into a log."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import boto3
import pytest

from console.sandbox.endpoint import ACCOUNT, Denial, EndpointControl, Fault
from console.sandbox.sandbox import Sandbox
from crypto_core import kms_errors
from crypto_core.errors import (
    CredentialsError,
    CredentialsExpiredError,
    IncorrectKeyError,
    InvalidCiphertextError,
    KeydeckError,
    KeyDisabledError,
    KeyNotFoundError,
    KeyStateError,
    KeyUnavailableError,
    KmsAccessDeniedError,
    KmsDependencyTimeoutError,
    KmsError,
    KmsInternalError,
    KmsLimitError,
    KmsRequestError,
    KmsThrottledError,
    KmsUnreachableError,
    ReadOnlyError,
    SettingsError,
)
from crypto_core.kms import READ_ONLY_OPERATIONS, READ_OPERATIONS, KmsApi
from tests.crypto_core.damaging import damaged

HOME = Path(__file__).parents[2]
REGION = "eu-west-1"
NOWHERE = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"


def chain_of(error: BaseException) -> str:
    """All that an exception and what it came from could tell a log or a screen."""
    told, links = [], [error]
    while links:
        link = links.pop()
        told += [str(link), repr(link), repr(link.args), repr(getattr(link, "object", None))]
        links += [e for e in (link.__cause__, link.__context__) if e is not None]
    return "\n".join(told)


def sent(control: EndpointControl) -> dict[str, int]:
    return dict(control.stats().calls)


# Failures that KMS tells, each played on the endpoint


@dataclass
class Stage:
    """One key of the test's own, and ways to make things go wrong with it."""

    control: EndpointControl
    client: Any
    kms: KmsApi
    key: str
    other: str

    def blob(self) -> bytes:
        made = self.client.generate_data_key(KeyId=self.key, KeySpec="AES_256")
        return cast(bytes, made["CiphertextBlob"])

    def generate(self) -> Any:
        return self.kms.call("GenerateDataKey", KeyId=self.key, KeySpec="AES_256")

    def decrypt(self, blob: bytes) -> Any:
        return self.kms.call("Decrypt", KeyId=self.key, CiphertextBlob=blob)

    def reencrypt(self, blob: bytes) -> Any:
        return self.kms.call(
            "ReEncrypt", SourceKeyId=self.key, DestinationKeyId=self.other, CiphertextBlob=blob
        )


@pytest.fixture
def stage(aws: EndpointControl, client: Any, kms: KmsApi, new_key: Callable[[], str]) -> Stage:
    return Stage(aws, client, kms, new_key(), new_key())


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
    pytest.param(disabled, KeyDisabledError, False, "is disabled", id="disabled"),
    pytest.param(pending_deletion, KeyStateError, False, "pending deletion", id="pending deletion"),
    pytest.param(pending_import, KeyStateError, False, "pending import", id="pending import"),
    pytest.param(not_found, KeyNotFoundError, False, NOWHERE, id="not found"),
    pytest.param(no_such_alias, KeyNotFoundError, False, "alias/nobody-made-this", id="no such alias"),
    pytest.param(denied, KmsAccessDeniedError, False, "kms:GenerateDataKey", id="denied"),
    pytest.param(throttled, KmsThrottledError, True, "quota", id="throttled"),
    pytest.param(invalid_ciphertext, InvalidCiphertextError, False, "can't open", id="invalid ciphertext"),
    pytest.param(incorrect_key, IncorrectKeyError, False, "was not made under", id="incorrect key"),
    *[
        pytest.param(fault(code), kind, transient, says, id=code)
        for code, kind, transient, says in [
            ("DependencyTimeoutException", KmsDependencyTimeoutError, True, "timed out"),
            ("KMSInternalException", KmsInternalError, True, "internally"),
            ("InternalFailure", KmsInternalError, True, "internally"),
            ("ServiceUnavailable", KmsInternalError, True, "internally"),
            ("KeyUnavailableException", KeyUnavailableError, True, "not available"),
            ("ExpiredTokenException", CredentialsExpiredError, False, "expired"),
            ("UnrecognizedClientException", CredentialsError, False, "credentials"),
            ("InvalidSignatureException", CredentialsError, False, "credentials"),
            ("LimitExceededException", KmsLimitError, False, "limit"),
            ("KMSInvalidStateException", KeyStateError, False, "does not permit"),
            ("InvalidGrantTokenException", KmsRequestError, False, "InvalidGrantTokenException"),
            ("reset", KmsUnreachableError, True, "No answer"),
        ]
    ],
]


@pytest.mark.parametrize(("play", "kind", "transient", "says"), TOLD_APART)
def test_each_failure_is_an_error_of_its_own(
    stage: Stage, play: Callable[[Stage], None], kind: type[KmsError], transient: bool, says: str
) -> None:
    with pytest.raises(KmsError) as caught:
        play(stage)
    error = caught.value
    assert type(error) is kind
    assert says in str(error)
    assert error.transient is transient
    assert error.operation in ("GenerateDataKey", "Decrypt", "DescribeKey")
    assert error.__cause__ is not None


@pytest.mark.parametrize(
    "play",
    [
        disabled,
        pending_deletion,
        pending_import,
        denied,
        invalid_ciphertext,
        incorrect_key,
        fault("KeyUnavailableException"),
        fault("LimitExceededException"),
    ],
    ids=lambda play: play.__name__,
)
def test_a_failure_names_the_key_and_what_to_do(stage: Stage, play: Callable[[Stage], None]) -> None:
    with pytest.raises(KmsError) as caught:
        play(stage)
    assert stage.key in caught.value.message
    assert caught.value.key == stage.key
    if type(caught.value) is not KmsLimitError:
        assert len(caught.value.remedy) > 10
        assert caught.value.remedy in str(caught.value)


@pytest.mark.parametrize(
    "play", [throttled, not_found, fault("DependencyTimeoutException"), fault("ExpiredTokenException")]
)
def test_a_failure_that_is_not_the_keys_says_what_to_do_as_well(
    stage: Stage, play: Callable[[Stage], None]
) -> None:
    with pytest.raises(KmsError) as caught:
        play(stage)
    assert len(caught.value.remedy) > 8


def test_a_denial_names_the_missing_action_and_who_lacks_it(stage: Stage) -> None:
    stage.control.add_denial(Denial("*", "kms:Decrypt", stage.key))
    with pytest.raises(KmsAccessDeniedError) as caught:
        stage.decrypt(stage.blob())
    assert caught.value.action == "kms:Decrypt"
    assert "Allow kms:Decrypt" in caught.value.remedy
    assert "assumed-role/keydeck-oncall" in str(caught.value)


def test_a_denial_without_a_key_speaks_of_none(stage: Stage) -> None:
    stage.control.add_denial(Denial("*", "kms:ListKeys"))
    with pytest.raises(KmsAccessDeniedError, match=r"^Access denied: kms:ListKeys \(") as caught:
        stage.kms.call("ListKeys")
    assert (caught.value.action, caught.value.key) == ("kms:ListKeys", "")


def test_without_a_key_id_the_error_names_the_key_that_kms_names(stage: Stage) -> None:
    blob = stage.blob()
    stage.client.disable_key(KeyId=stage.key)
    with pytest.raises(KeyDisabledError) as caught:
        stage.kms.call("Decrypt", CiphertextBlob=blob)
    assert caught.value.key == stage.key
    assert stage.key in caught.value.message


# ReEncrypt has two keys; its failures are about one of them


@pytest.mark.parametrize("action", ["kms:ReEncryptFrom", "kms:ReEncryptTo"])
def test_a_denied_rewrap_names_the_action_and_the_key_of_its_side(stage: Stage, action: str) -> None:
    stage.control.add_denial(Denial("*", action))
    with pytest.raises(KmsAccessDeniedError) as caught:
        stage.reencrypt(stage.blob())
    assert caught.value.action == action
    assert caught.value.key == (stage.key if action == "kms:ReEncryptFrom" else stage.other)
    assert f"Allow {action}" in caught.value.remedy


@pytest.mark.parametrize("side", ["key", "other"])
def test_a_disabled_key_of_a_rewrap_is_the_one_that_is_named(stage: Stage, side: str) -> None:
    blob, broken = stage.blob(), getattr(stage, side)
    stage.client.disable_key(KeyId=broken)
    with pytest.raises(KeyDisabledError) as caught:
        stage.reencrypt(blob)
    assert caught.value.key == broken
    assert caught.value.message.startswith(f"KMS key {broken} is disabled")


def test_a_rewrap_from_the_wrong_key_names_the_source(stage: Stage) -> None:
    made = stage.client.generate_data_key(KeyId=stage.other, KeySpec="AES_256")
    with pytest.raises(IncorrectKeyError) as caught:
        stage.reencrypt(made["CiphertextBlob"])
    assert caught.value.key == stage.key
    assert stage.other not in str(caught.value)


def test_a_rewrap_of_a_damaged_data_key_names_the_source(stage: Stage) -> None:
    with pytest.raises(InvalidCiphertextError) as caught:
        stage.reencrypt(damaged(stage.blob()))
    assert caught.value.key == stage.key


@pytest.mark.parametrize("side", ["key", "other"])
def test_a_rewrap_with_an_alias_that_is_not_there_names_the_alias(stage: Stage, side: str) -> None:
    blob = stage.blob()
    setattr(stage, side, "alias/nobody-made-this")
    with pytest.raises(KeyNotFoundError) as caught:
        stage.reencrypt(blob)
    assert caught.value.key == "alias/nobody-made-this"


# No answer, and answers that are none


def test_a_closed_port_is_unreachable(aws: EndpointControl) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(KmsUnreachableError) as caught:
        KmsApi(endpoint_url=f"http://127.0.0.1:{port}", attempts=1).call("ListKeys")
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "AWS_ENDPOINT_URL" in caught.value.remedy
    assert caught.value.transient


def test_an_endpoint_that_hangs_is_given_up_after_the_read_timeout(
    aws: EndpointControl, new_key: Callable[[], str]
) -> None:
    key = new_key()
    aws.add_fault(Fault("DescribeKey", "hang"))
    with pytest.raises(KmsUnreachableError, match="DescribeKey") as caught:
        KmsApi(read_timeout=0.1, attempts=1).call("DescribeKey", KeyId=key)
    assert caught.value.key == key


def test_a_host_that_does_not_exist_is_unreachable(aws: EndpointControl) -> None:
    with pytest.raises(KmsUnreachableError):
        KmsApi(endpoint_url="http://kms.invalid", connect_timeout=1, attempts=1).call("ListKeys")


DATA_KEY = base64.b64encode(b"a data key of thirty-two bytes!!").decode()


@pytest.fixture
def someone_else() -> Iterator[tuple[str, list[bytes]]]:
    """An HTTP server that is not AWS and answers with the last body of the list."""
    bodies: list[bytes] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(bodies[-1])))
            self.end_headers()
            self.wfile.write(bodies[-1])

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b'"text"',
        b'{"Plaintext": "%s", "KeyId": "\xff"}' % DATA_KEY.encode(),
        b'{"Plaintext": "%s"}' % DATA_KEY.rstrip("=").encode(),
        b'{"Plaintext": ["%s"]}' % DATA_KEY.encode(),
    ],
)
def test_an_answer_that_is_not_awss_is_an_error_of_ours_that_does_not_repeat_it(
    aws: EndpointControl, someone_else: tuple[str, list[bytes]], body: bytes
) -> None:
    url, bodies = someone_else
    bodies.append(body)
    kms = KmsApi(endpoint_url=url, attempts=1)
    with pytest.raises(KmsRequestError, match="is not AWS") as caught:
        kms.call("Decrypt", KeyId=NOWHERE, CiphertextBlob=b"x")
    assert caught.value.key == NOWHERE
    assert DATA_KEY[:10] not in chain_of(caught.value)
    assert caught.value.__context__ is None


def test_a_web_page_instead_of_sts_is_an_error_of_ours(
    aws: EndpointControl, someone_else: tuple[str, list[bytes]]
) -> None:
    url, bodies = someone_else
    bodies.append(b"<html>Sign in to the guest network</html>")
    with pytest.raises(KmsRequestError, match="GetCallerIdentity"):
        KmsApi(endpoint_url=url, attempts=1).identity()


# Retries


def test_a_transient_failure_is_tried_again(aws: EndpointControl, new_key: Callable[[], str]) -> None:
    key = new_key()
    for error in ("KMSInternalException", "ThrottlingException"):
        aws.add_fault(Fault("DescribeKey", error, count=1))
        before = sent(aws).get("kms:DescribeKey", 0)
        answer = KmsApi(attempts=2).call("DescribeKey", KeyId=key)
        assert answer["KeyMetadata"]["Arn"] == key
        assert sent(aws)["kms:DescribeKey"] == before + 2


def test_attempts_are_bounded(aws: EndpointControl, new_key: Callable[[], str]) -> None:
    key = new_key()
    aws.add_fault(Fault("DescribeKey", "KMSInternalException"))
    before = sent(aws).get("kms:DescribeKey", 0)
    with pytest.raises(KmsInternalError):
        KmsApi(attempts=2).call("DescribeKey", KeyId=key)
    assert sent(aws)["kms:DescribeKey"] == before + 2


def test_a_refusal_is_not_tried_again(stage: Stage) -> None:
    stage.control.add_denial(Denial("*", "kms:DescribeKey", stage.key))
    before = sent(stage.control).get("kms:DescribeKey", 0)
    with pytest.raises(KmsAccessDeniedError):
        KmsApi(attempts=3).call("DescribeKey", KeyId=stage.key)
    assert sent(stage.control)["kms:DescribeKey"] == before + 1


# Read only


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


# Settings


def test_an_empty_environment_lacks_a_region(aws: EndpointControl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(SettingsError, match="AWS_REGION"):
        KmsApi().call("ListKeys")


@pytest.mark.parametrize("regions", [[], [REGION]])
def test_a_profile_that_does_not_exist_is_a_settings_error(
    aws: EndpointControl, monkeypatch: pytest.MonkeyPatch, regions: list[str]
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(SettingsError, match="no-such-profile"):
        KmsApi(regions).call("ListKeys")


@pytest.mark.parametrize(
    ("region", "endpoint_url", "says"),
    [(REGION, "localhost:4566", "AWS_ENDPOINT_URL"), ("eu west", "http://127.0.0.1:9", "KEYDECK_REGIONS")],
)
def test_a_malformed_endpoint_or_region_is_a_settings_error(
    aws: EndpointControl, region: str, endpoint_url: str, says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        KmsApi([region], endpoint_url=endpoint_url, attempts=1).call("ListKeys")


@pytest.mark.parametrize(
    "missing", [["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], ["AWS_SECRET_ACCESS_KEY"]]
)
def test_missing_credentials_are_told(
    aws: EndpointControl, monkeypatch: pytest.MonkeyPatch, missing: list[str]
) -> None:
    for name in missing:
        monkeypatch.delenv(name)
    with pytest.raises(CredentialsError, match="AWS_PROFILE") as caught:
        KmsApi(attempts=1).call("ListKeys")
    assert type(caught.value) is CredentialsError


def test_regions_are_asked_in_the_order_given_each_once(aws: EndpointControl) -> None:
    assert KmsApi(["eu-west-1", "us-east-1", "eu-west-1"]).regions == ("eu-west-1", "us-east-1")
    assert KmsApi().regions == (REGION,)


def test_a_call_goes_to_the_region_it_names(
    aws: EndpointControl, sandbox: Sandbox, new_key: Callable[[], str]
) -> None:
    key, kms = new_key(), KmsApi([REGION, "us-east-1"], attempts=1)
    assert kms.call("DescribeKey", KeyId=key)["KeyMetadata"]["Arn"] == key
    with pytest.raises(KeyNotFoundError):
        kms.call("DescribeKey", region="us-east-1", KeyId=key)


def test_identity_says_who_the_caller_is(kms: KmsApi) -> None:
    identity = kms.identity()
    assert identity.account == ACCOUNT
    assert identity.arn.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/keydeck-oncall/")


def test_other_services_are_asked_what_was_recorded_and_nothing_else(
    aws: EndpointControl, kms: KmsApi
) -> None:
    asked = {name for names in READ_OPERATIONS.values() for name in names}
    assert {n for n in asked if not n.startswith(("Describe", "Get", "List"))} == {
        "CancelQuery",
        "LookupEvents",
        "StartQuery",
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


def test_a_failure_of_cloudtrail_is_told_in_its_name(aws: EndpointControl, kms: KmsApi) -> None:
    aws.add_denial(Denial("*", "cloudtrail:DescribeTrails"))
    with pytest.raises(KmsAccessDeniedError) as denied:
        kms.read("cloudtrail", "DescribeTrails", region=REGION)
    assert denied.value.action == "cloudtrail:DescribeTrails"
    aws.clear()
    aws.add_fault(Fault("DescribeTrails", "ThrottlingException"))
    with pytest.raises(KmsThrottledError, match="CloudTrail throttles DescribeTrails"):
        kms.read("cloudtrail", "DescribeTrails", region=REGION)
    aws.add_denial(Denial("*", "s3:ListBucket"))
    with pytest.raises(KmsAccessDeniedError, match=r"Allow s3:ListBucket .* in the bucket policy"):
        kms.read("s3", "ListObjectsV2", region=REGION, Bucket="keydeck-sandbox-trail")
    with pytest.raises(KmsRequestError, match="There is no such bucket"):
        kms.read("s3", "GetObject", region=REGION, Bucket="nobodys-bucket", Key="x")
    answer = {"Error": {"Code": "AccessDeniedException"}}
    told = kms_errors.told_apart(answer, "GetTrailStatus", (), "cloudtrail")
    assert isinstance(told, KmsAccessDeniedError)
    assert told.action == "cloudtrail:GetTrailStatus"


def test_calls_from_many_threads_share_one_client_and_are_counted(
    kms: KmsApi, new_key: Callable[[], str]
) -> None:
    key = new_key()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: kms.call("DescribeKey", KeyId=key), range(40)))
    assert {answer["KeyMetadata"]["Arn"] for answer in answers} == {key}
    assert kms.calls == 40
    assert len(kms._sessions._clients) == 1


def test_a_foreign_error_message_is_cleaned(aws: EndpointControl, kms: KmsApi) -> None:
    aws.add_fault(
        Fault("ListKeys", "AccessDeniedException", message="no\x1b[2J\u202eway\n[bold]" + "x" * 9000)
    )
    with pytest.raises(KmsAccessDeniedError) as caught:
        kms.call("ListKeys")
    assert "no[2Jway [bold]xxx" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_every_error_that_the_api_reference_lists_has_a_class_of_its_own() -> None:
    """Those of FACTS that are told apart; none falls back to the class for what is unknown."""
    told_apart = {
        "AccessDeniedException",
        "DisabledException",
        "KMSInvalidStateException",
        "KeyUnavailableException",
        "IncorrectKeyException",
        "InvalidCiphertextException",
        "NotFoundException",
        "ThrottlingException",
        "DependencyTimeoutException",
        "KMSInternalException",
        "ExpiredTokenException",
    }
    kinds = [kms_errors._ERRORS[code] for code in told_apart]
    assert len(set(kinds)) == len(told_apart)
    assert not {KmsRequestError, KmsError, KeydeckError} & set(kinds)


# Logs


LOGGING = {
    "root at DEBUG": "logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)",
    "boto3's stream logger for everything": "boto3.set_stream_logger('')",
    "boto3's stream logger for botocore": "boto3.set_stream_logger('botocore')",
    "botocore and urllib3 at DEBUG": (
        "logging.basicConfig(stream=sys.stdout)\n"
        "for name in ('botocore', 'botocore.parsers', 'botocore.endpoint', 'urllib3'):\n"
        "    logging.getLogger(name).setLevel(logging.DEBUG)"
    ),
}

ENCRYPT_AND_DECRYPT = """
import json, logging, os, sys
import boto3
{before}
key = os.environ["TOKEN_ENCRYPTION_KEY_ID"]
control = boto3.client("kms").generate_data_key(KeyId=key, KeySpec="AES_256")
from crypto_core import KmsApi, KmsKeyring, TokenCipher, decrypt_token, encrypt_token
stored = [encrypt_token({token!r})]
{after}
stored.append(encrypt_token({token!r}))
assert [decrypt_token(s) for s in stored] == [{token!r}] * 2
cipher = TokenCipher(KmsKeyring(KmsApi(), write_key=key))
stored.append(cipher.rewrap(stored[0], key).stored)
KmsApi().identity()
open({report!r}, "w").write(json.dumps({{"stored": stored, "control": control["Plaintext"].hex()}}))
"""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("set_up", LOGGING.values(), ids=LOGGING.keys())
def test_no_data_key_and_no_token_gets_into_a_log(
    aws: EndpointControl, client: Any, tmp_path: Path, set_up: str, moment: str
) -> None:
    token, report = "ghp_CANARYcanaryCANARYcanary", tmp_path / "report"
    parts = {"before": "", "after": "", moment: set_up}
    program = ENCRYPT_AND_DECRYPT.format(**parts, token=token, report=str(report))
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=HOME, check=True)
    log, told = ran.stdout + ran.stderr, json.loads(report.read_text())

    if moment == "before":
        # What Keydeck guards against is real: boto3 without it logs the data key that it received.
        assert base64.b64encode(bytes.fromhex(told["control"])) in log
    assert b"DEBUG" in log
    for stored in told["stored"]:
        edk = base64.b64decode(base64.b64decode(stored).split(b"|")[1])
        data_key = client.decrypt(CiphertextBlob=edk)["Plaintext"]
        for form in (
            data_key,
            base64.b64encode(data_key),
            data_key.hex().encode(),
            repr(data_key)[2:-1].encode(),
        ):
            assert form not in log
    assert b"CANARY" not in log
    assert base64.b64encode(token.encode())[:20] not in log


def test_a_credentials_file_that_is_not_there_is_a_credentials_error(
    aws: EndpointControl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/platform")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "gone"))
    with pytest.raises(CredentialsError, match="can't be read"):
        KmsApi(attempts=1).call("ListKeys")
