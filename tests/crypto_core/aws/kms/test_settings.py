"""KMS over HTTP: Regions, endpoints, profiles and credentials, and one client for all threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from console.sandbox.endpoint import ACCOUNT, EndpointControl
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms import KmsApi
from crypto_core.values.errors import CredentialsError, KeyNotFoundError, SettingsError
from tests.crypto_core.aws.kms.stage import REGION


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


def test_calls_from_many_threads_share_one_client_and_are_counted(
    kms: KmsApi, new_key: Callable[[], str]
) -> None:
    key = new_key()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: kms.call("DescribeKey", KeyId=key), range(40)))
    assert {answer["KeyMetadata"]["Arn"] for answer in answers} == {key}
    assert kms.calls == 40
    assert len(kms._sessions._clients) == 1


def test_a_credentials_file_that_is_not_there_is_a_credentials_error(
    aws: EndpointControl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/platform")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "gone"))
    with pytest.raises(CredentialsError, match="can't be read"):
        KmsApi(attempts=1).call("ListKeys")
