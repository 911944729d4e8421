"""Signing in by a code, against a small sso-oidc: what the protocol demands, and what others find of it."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from crypto_core.aws import device_login
from crypto_core.aws.device_login import (
    DeviceLogin,
    SsoSettings,
    is_signed_in,
    login_of,
    signed_out,
    sso_settings,
)
from crypto_core.errors import KmsUnreachableError, KmsUnreadableError, SettingsError, SignInError
from tests.sso_oidc import ADDRESS, CODE, REGION, START, TOKEN, SsoOidc, sso_oidc

CONFIGURATION = f"""
[profile ops]
sso_session = acme
sso_account_id = 123456789012
sso_role_name = operators
[sso-session acme]
sso_start_url = {START}
sso_region = {REGION}
sso_registration_scopes = sso:account:access
[profile old]
sso_start_url = {START}
sso_region = {REGION}
sso_account_id = 123456789012
sso_role_name = operators
[profile role]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = ops
[profile plain]
region = eu-west-1
"""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SsoOidc]:
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text(CONFIGURATION)
    monkeypatch.setenv("HOME", str(tmp_path))
    with sso_oidc() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO_OIDC", server.url)
        yield server


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def login(aws: SsoOidc, waits: list[float]) -> Callable[[str], DeviceLogin]:
    def make(profile: str = "ops") -> DeviceLogin:
        made = login_of(profile)

        def pause(cancelled: Event, seconds: float) -> bool:
            waits.append(seconds)
            return cancelled.is_set()

        made.pause = pause
        return made

    return make


def cached(home: Path) -> dict[str, Any]:
    (file,) = (home / ".aws/sso/cache").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@pytest.mark.parametrize("profile", ["ops", "old"])
def test_botocore_finds_the_token_that_was_confirmed(
    aws: SsoOidc, login: Callable[[str], DeviceLogin], tmp_path: Path, profile: str
) -> None:
    one = login(profile)
    code = one.begin()
    assert (code.address, code.code, code.link) == (ADDRESS, CODE, f"{ADDRESS}?user_code={CODE}")
    assert one.wait(code, Event())
    assert cached(tmp_path)["startUrl"] == START
    script = (
        "import sys, botocore.session as s, botocore.credentials as c, botocore.utils as u;"
        "t = u.SSOTokenLoader(u.JSONFileCache(c.SSOProvider._SSO_TOKEN_CACHE_DIR));"
        f"print(t({START!r}, session_name={'acme' if profile == 'ops' else None!r})['accessToken'])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == TOKEN
    assert is_signed_in(one.settings)


def test_boto3_itself_signs_in_with_it(
    aws: SsoOidc, login: Callable[[str], DeviceLogin], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = login("ops")
    assert one.wait(one.begin(), Event())
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", aws.url)
    script = "import boto3; print(boto3.Session(profile_name='ops').get_credentials().access_key)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "ASIAFROMSSO", ran.stderr[-2000:]


def test_it_asks_as_often_as_aws_wants(
    aws: SsoOidc, login: Callable[[str], DeviceLogin], waits: list[float]
) -> None:
    aws.interval = 2
    aws.answers = [
        "AuthorizationPendingException",
        "SlowDownException",
        "AuthorizationPendingException",
        "busy",
    ]
    one = login("ops")
    assert one.wait(one.begin(), Event())
    assert waits[:4] == [2, 2, 7, 7]
    assert waits[-1] == 14, "a failure of the moment is waited out"


def test_scopes_and_the_client_are_as_configured(aws: SsoOidc, login: Callable[[str], DeviceLogin]) -> None:
    login("ops").begin()
    login("old").begin()
    assert [asked.get("scopes") for asked in aws.registered] == [["sso:account:access"], None]
    assert all(asked["clientType"] == "public" for asked in aws.registered)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("AccessDeniedException", "It was denied in the browser."),
        ("ExpiredTokenException", "The code has expired"),
        ("InvalidClientException", "AWS refused CreateToken"),
    ],
)
def test_the_end_without_a_token_is_told(
    aws: SsoOidc, login: Callable[[str], DeviceLogin], tmp_path: Path, answer: str, said: str
) -> None:
    aws.answers = ["AuthorizationPendingException", answer]
    one = login("ops")
    with pytest.raises(SignInError) as raised:
        one.wait(one.begin(), Event())
    assert f"Profile ops is not signed in. {said}" in raised.value.message
    assert not (tmp_path / ".aws/sso").exists()
    assert not is_signed_in(one.settings)


def test_a_code_that_has_expired_is_not_asked_about_for_ever(
    aws: SsoOidc, login: Callable[[str], DeviceLogin]
) -> None:
    aws.answers = ["AuthorizationPendingException"] * 50
    moments = iter(range(0, 10_000, 200))
    one = login("ops")
    one.clock = lambda: float(next(moments))
    with pytest.raises(SignInError, match="expired"):
        one.wait(one.begin(), Event())


def test_who_cancels_keeps_no_token(
    aws: SsoOidc, login: Callable[[str], DeviceLogin], tmp_path: Path
) -> None:
    one = login("ops")
    code, cancelled = one.begin(), Event()
    cancelled.set()
    assert not one.wait(code, cancelled)
    assert not (tmp_path / ".aws/sso").exists()


@pytest.mark.parametrize(
    "address",
    [
        "http://device.sso.example/",
        "javascript:alert(1)",
        "https://user@device.sso.example/",
        "https://",
        "https://[bad/",
        "https://a b/",
        "https://device.sso.example/\x1b[31m",
        "",
        None,
    ],
)
def test_an_address_that_is_not_plain_https_is_refused(
    aws: SsoOidc, login: Callable[[str], DeviceLogin], address: str | None
) -> None:
    aws.address = address
    with pytest.raises(SignInError, match="no https address"):
        login("ops").begin()


@pytest.mark.parametrize(
    "link",
    ["https://evil.example/?user_code=X", "http://device.sso.example/", "https://device.sso.example:8443/"],
)
def test_a_link_to_another_host_is_left_out(
    aws: SsoOidc, login: Callable[[str], DeviceLogin], link: str
) -> None:
    aws.link = link
    assert login("ops").begin().link == ""


def test_hostile_text_is_cleaned_and_no_token_is_quoted(
    aws: SsoOidc, login: Callable[[str], DeviceLogin]
) -> None:
    aws.code = "AB\x1b[31m\u202eCD"
    one = login("ops")
    code = one.begin()
    assert code.code == "AB[31mCD"
    aws.answers = ["garbage"]
    with pytest.raises(KmsUnreadableError) as raised:
        one.wait(code, Event())
    assert TOKEN not in repr(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert TOKEN not in repr(one)


def test_an_endpoint_that_is_not_there_is_told(
    aws: SsoOidc, login: Callable[[str], DeviceLogin], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO_OIDC", "http://127.0.0.1:9")
    monkeypatch.setattr(device_login, "_OPTIONS", {"retries": {"total_max_attempts": 1}})
    with pytest.raises(KmsUnreachableError):
        login("ops").begin()


def test_which_profiles_sign_in_and_which_are_signed_out(
    aws: SsoOidc, login: Callable[[str], DeviceLogin]
) -> None:
    from botocore.session import Session

    configuration = Session().full_config
    assert [*signed_out(configuration)] == ["ops", "old", "role"]
    assert sso_settings(configuration, "role") == SsoSettings(START, REGION, "acme", ("sso:account:access",))
    with pytest.raises(SettingsError, match="does not sign in"):
        login_of("plain")
    one = login("ops")
    one.wait(one.begin(), Event())
    assert [*signed_out(configuration)] == ["old"]


def test_an_expired_token_counts_as_long_as_it_can_be_renewed(
    aws: SsoOidc, login: Callable[[str], DeviceLogin], tmp_path: Path
) -> None:
    later = datetime.now(UTC) + timedelta(days=2)
    one, old = login("ops"), login("old")
    one.wait(one.begin(), Event())
    assert is_signed_in(one.settings, now=later)
    assert not is_signed_in(one.settings, now=later + timedelta(days=365))
    old.wait(old.begin(), Event())
    assert not is_signed_in(old.settings, now=later)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"accessToken": "x", "expiresAt": "soon"}', '{"accessToken": 1, "expiresAt": null}'],
)
def test_what_is_no_token_is_none(aws: SsoOidc, tmp_path: Path, content: str) -> None:
    settings = login_of("ops").settings
    folder = tmp_path / "cache"
    folder.mkdir()
    name = "6da5b2b6bf8cf4fb7ab9dd2e2ff2c3dd8a21e8b0"
    (folder / f"{name}.json").write_text(content)
    assert not is_signed_in(settings, folder)


def test_neither_token_nor_secret_is_in_a_log(
    aws: SsoOidc, login: Callable[[str], DeviceLogin], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    one = login("ops")
    assert one.wait(one.begin(), Event())
    assert TOKEN not in caplog.text
    assert "hush" not in caplog.text
