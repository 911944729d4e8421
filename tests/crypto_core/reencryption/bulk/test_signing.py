"""Bulk calls are signed as botocore signs them, byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.reencryption.bulk.http import CONTENT_TYPE, RequestSigner

URLS = (
    "https://kms.eu-west-1.amazonaws.com",
    "https://kms-fips.us-east-1.amazonaws.com/",
    "http://127.0.0.1:4566",
    "https://vpce-1.kms.eu-west-1.vpce.amazonaws.com:8443/",
)
OPERATIONS = ("Decrypt", "GenerateDataKey", "ReEncrypt")
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


def by_botocore(
    credentials: ReadOnlyCredentials, region: str, url: str, operation: str, body: bytes, now: datetime
) -> dict[str, str]:
    headers = {"X-Amz-Target": f"TrentService.{operation}", "Content-Type": CONTENT_TYPE}
    request = AWSRequest("POST", url, headers=headers, data=body)
    with patch("botocore.auth.get_current_datetime", return_value=now):
        SigV4Auth(credentials, "kms", region).add_auth(request)
    return dict(request.headers.items())


def headers(lines: bytes) -> dict[str, str]:
    assert lines.endswith(b"\r\n")
    return dict(line.split(": ", 1) for line in lines[:-2].decode("latin-1").split("\r\n"))


@given(
    bodies=st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=3),
    operation=st.sampled_from(OPERATIONS),
    url=st.sampled_from(URLS),
    region=st.sampled_from(("eu-west-1", "us-gov-west-1")),
    access_key=printable,
    secret=st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()),
    token=st.none() | printable,
    second=st.integers(0, 4_000_000_000),
)
def test_every_call_is_signed_as_botocore_would(
    bodies: list[bytes],
    operation: str,
    url: str,
    region: str,
    access_key: str,
    secret: str,
    token: str | None,
    second: int,
) -> None:
    credentials = ReadOnlyCredentials(access_key, secret, token)
    signer = RequestSigner(credentials, region, url)
    now = datetime.fromtimestamp(second, UTC)
    for body in bodies:
        signed = headers(signer.lines(operation, body, second + 0.25))
        assert signed == by_botocore(credentials, region, url, operation, body, now)


def test_operations_and_seconds_do_not_share_a_signature() -> None:
    signer = RequestSigner(ReadOnlyCredentials("AKIA", "secret", None), "eu-west-1", URLS[0])
    signatures = {
        headers(signer.lines(operation, b"{}", second))["Authorization"]
        for operation in OPERATIONS
        for second in (10, 11, 10 + 86_400)
    }
    assert len(signatures) == 9


def test_going_back_a_second_signs_for_that_second() -> None:
    signer = RequestSigner(ReadOnlyCredentials("AKIA", "secret", None), "eu-west-1", URLS[0])
    first = signer.lines("Decrypt", b"{}", 100.9)
    signer.lines("Decrypt", b"{}", 101.0)
    assert signer.lines("Decrypt", b"{}", 100.1) == first


@pytest.mark.parametrize("token", [None, "a session token"])
def test_the_secret_is_in_no_header(token: str | None) -> None:
    signer = RequestSigner(ReadOnlyCredentials("AKIA", "very-secret", token), "eu-west-1", URLS[0])
    assert "very-secret" not in str(signer.lines("Decrypt", b"{}", 100.0))
