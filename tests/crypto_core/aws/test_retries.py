"""What is asked again and how often: throttling and transient failures, nothing else, after drawn waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from console.sandbox.endpoint import Denial, EndpointControl, Fault
from crypto_core.aws.kms import KmsApi
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.reencryption.bulk.pipeline import is_passing
from crypto_core.values.errors import (
    InvalidCiphertextError,
    KeyDisabledError,
    KeyUnavailableError,
    KmsAccessDeniedError,
    KmsDependencyTimeoutError,
    KmsError,
    KmsInternalError,
    KmsThrottledError,
    KmsUnreachableError,
)

REGION = "eu-west-1"
ATTEMPTS = 3


class Sent:
    """Counts the requests that reached the endpoint, the refused ones too."""

    def __init__(self, control: EndpointControl) -> None:
        self._control = control
        self._before = dict(control.stats().calls)

    def __call__(self, operation: str) -> int:
        name = f"kms:{operation}"
        return self._control.stats().calls.get(name, 0) - self._before.get(name, 0)


@pytest.fixture
def kms(aws: EndpointControl) -> KmsApi:
    return KmsApi([REGION], attempts=ATTEMPTS)


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What botocore would have waited between attempts, in seconds; nobody waits."""
    waits: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", waits.append)
    return waits


def wrapped(client: Any, key: str) -> bytes:
    return cast(bytes, client.generate_data_key(KeyId=key, KeySpec="AES_256")["CiphertextBlob"])


# Refusals are asked once


def denied(aws: EndpointControl, client: Any, key: str, blob: bytes) -> bytes:
    aws.add_denial(Denial("*", "kms:Decrypt", key))
    return blob


def disabled(aws: EndpointControl, client: Any, key: str, blob: bytes) -> bytes:
    client.disable_key(KeyId=key)
    return blob


def damaged(aws: EndpointControl, client: Any, key: str, blob: bytes) -> bytes:
    return blob[:-1] + bytes([blob[-1] ^ 1])


def of(error: str) -> Callable[[EndpointControl, Any, str, bytes], bytes]:
    def play(aws: EndpointControl, client: Any, key: str, blob: bytes) -> bytes:
        aws.add_fault(Fault("Decrypt", error))
        return blob

    return play


@pytest.mark.parametrize(
    ("play", "kind"),
    [
        pytest.param(denied, KmsAccessDeniedError, id="denied"),
        pytest.param(disabled, KeyDisabledError, id="disabled"),
        pytest.param(damaged, InvalidCiphertextError, id="damaged"),
        *[
            pytest.param(of(error), KmsError, id=error)
            for error in (
                "ExpiredTokenException",
                "IncorrectKeyException",
                "InvalidGrantTokenException",
                "KMSInvalidStateException",
                "NotFoundException",
                "UnrecognizedClientException",
                "ValidationException",
            )
        ],
    ],
)
def test_what_asking_again_would_not_change_is_asked_once(
    aws: EndpointControl,
    kms: KmsApi,
    client: Any,
    new_key: Callable[[], str],
    slept: list[float],
    play: Callable[[EndpointControl, Any, str, bytes], bytes],
    kind: type[KmsError],
) -> None:
    key = new_key()
    blob = play(aws, client, key, wrapped(client, key))
    sent = Sent(aws)
    with pytest.raises(kind) as caught:
        KmsKeyring(kms, write_key=key).unwrap(blob)
    assert not caught.value.transient
    assert sent("Decrypt") == 1
    assert slept == []


# Throttling and transient failures are asked again


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("ThrottlingException", KmsThrottledError),
        ("TooManyRequestsException", KmsThrottledError),
        ("RequestLimitExceeded", KmsThrottledError),
        ("KMSInternalException", KmsInternalError),
        ("InternalFailure", KmsInternalError),
        ("ServiceUnavailable", KmsInternalError),
        ("KeyUnavailableException", KeyUnavailableError),
        ("DependencyTimeoutException", KmsDependencyTimeoutError),
    ],
)
def test_what_passes_is_asked_again_up_to_the_limit(
    aws: EndpointControl,
    kms: KmsApi,
    client: Any,
    new_key: Callable[[], str],
    slept: list[float],
    error: str,
    kind: type[KmsError],
) -> None:
    key = new_key()
    blob = wrapped(client, key)
    keyring = KmsKeyring(kms, write_key=key)
    aws.add_fault(Fault("Decrypt", error))
    sent = Sent(aws)
    with pytest.raises(kind) as caught:
        keyring.unwrap(blob)
    assert caught.value.transient
    assert sent("Decrypt") == ATTEMPTS
    assert len(slept) == ATTEMPTS - 1
    aws.clear()
    aws.add_fault(Fault("Decrypt", error, count=ATTEMPTS - 1))
    assert keyring.unwrap(blob).wrapped_by.key_arn == key
    assert sent("Decrypt") == 2 * ATTEMPTS


def test_a_reset_connection_is_tried_again_up_to_the_limit(
    aws: EndpointControl, kms: KmsApi, client: Any, new_key: Callable[[], str], slept: list[float]
) -> None:
    """A reset request leaves no record, so the fault counts: it is used up by exactly so many attempts."""
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key)
    blob = wrapped(client, key)
    once = KmsApi([REGION], attempts=1)
    aws.add_fault(Fault("Decrypt", "reset", count=ATTEMPTS + 1))
    with pytest.raises(KmsUnreachableError):
        keyring.unwrap(blob)
    assert len(slept) == ATTEMPTS - 1
    with pytest.raises(KmsUnreachableError):
        once.call("Decrypt", KeyId=key, CiphertextBlob=blob)
    assert once.call("Decrypt", KeyId=key, CiphertextBlob=blob)["KeyId"] == key
    aws.add_fault(Fault("Decrypt", "reset", count=ATTEMPTS - 1))
    assert keyring.unwrap(blob).wrapped_by.key_arn == key


def test_the_limit_is_the_one_that_was_set(aws: EndpointControl, new_key: Callable[[], str]) -> None:
    key, kms, sent = new_key(), KmsApi([REGION], attempts=2), Sent(aws)
    aws.add_fault(Fault("DescribeKey", "ThrottlingException"))
    with pytest.raises(KmsThrottledError):
        kms.call("DescribeKey", KeyId=key)
    assert (sent("DescribeKey"), kms.calls) == (2, 1)


def test_the_mode_is_botocores_standard(aws: EndpointControl) -> None:
    client: Any = KmsApi([REGION])._client("kms", REGION)
    assert client.meta.config.retries == {"mode": "standard", "total_max_attempts": 3}


def test_a_run_waits_out_what_botocore_asks_again_and_no_refusal() -> None:
    passing = [KmsThrottledError, KmsInternalError, KmsDependencyTimeoutError, KeyUnavailableError]
    assert all(is_passing(kind("later")) for kind in passing)
    for kind in (KmsAccessDeniedError, KeyDisabledError, InvalidCiphertextError):
        assert not is_passing(kind("no"))
    assert not is_passing(None)
