"""Credentials run out, are renewed outside, and Keydeck goes on with the new ones."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.sandbox.endpoint import ACCOUNT, EndpointControl, Fault
from crypto_core.aws.kms import KmsApi
from crypto_core.aws.sessions import LOOK_SECONDS
from crypto_core.values.errors import CredentialsError, CredentialsExpiredError, SettingsError
from tests.clock import Clock
from tests.http_answers import Answer, Asked, answering

OLD, NEW = "AKIAKEYDECKOLD000001", "AKIAKEYDECKNEW000001"


class Home:
    """The operator's AWS files, and a KMS whose credentials' files are looked at when the test says so."""

    def __init__(self, folder: Path) -> None:
        self.credentials = folder / "credentials"
        self.config = folder / "config"
        self.folder = folder
        self.clock = Clock()

    def has(self, access_key: str, profile: str = "ops", token: str = "") -> None:
        """Write an access key, and a session token where there is one, for a profile."""
        lines = [f"[{profile}]", f"aws_access_key_id = {access_key}", "aws_secret_access_key = secret"]
        lines += [f"aws_session_token = {token}"] if token else []
        self.credentials.write_text("\n".join(lines) + "\n")

    def kms(self, profile: str | None = "ops") -> KmsApi:
        kms = KmsApi(attempts=1, profile=profile)
        kms._sessions._clock = self.clock
        kms._sessions._looked_at = self.clock.now
        return kms

    def later(self) -> None:
        """Let enough time pass for the files to be looked at again."""
        self.clock.now += LOOK_SECONDS


@pytest.fixture
def home(aws: EndpointControl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Home:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    made = Home(tmp_path)
    made.config.write_text("")
    made.credentials.write_text("")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(made.config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(made.credentials))
    aws.add_principal(OLD, "before")
    aws.add_principal(NEW, "after")
    return made


def who(kms: KmsApi) -> str:
    return kms.identity().arn.rpartition("/")[2]


def expire(aws: EndpointControl, code: str = "ExpiredTokenException", count: int | None = None) -> None:
    aws.add_fault(Fault("*", code, count=count))


# Files


def test_a_rewritten_credentials_file_is_read_again_without_a_failure_in_between(home: Home) -> None:
    home.has(OLD)
    kms = home.kms()
    assert who(kms) == "before"
    home.has(NEW, token="another session")
    assert who(kms) == "before"
    home.later()
    assert who(kms) == "after"


def test_files_that_stay_as_they_are_keep_the_session_and_its_clients(home: Home) -> None:
    home.has(OLD)
    kms = home.kms()
    kms.call("ListKeys")
    clients, session = kms._sessions._clients, kms.session
    home.later()
    kms.call("ListKeys")
    assert kms._sessions._clients is clients
    assert (kms.session, kms.renewals) == (session, 0)


@pytest.mark.parametrize("code", ["ExpiredTokenException", "RequestExpired", "UnrecognizedClientException"])
def test_what_aws_refuses_is_looked_up_again_at_the_next_call(
    home: Home, aws: EndpointControl, code: str
) -> None:
    home.has(OLD, token="old")
    kms = home.kms()
    kms.call("ListKeys")
    session = kms.session
    expire(aws, code)
    with pytest.raises(CredentialsError) as caught:
        kms.call("ListKeys")
    assert isinstance(caught.value, CredentialsExpiredError) is (code != "UnrecognizedClientException")
    assert "aws_session_token" in caught.value.remedy
    assert "profile ops" in caught.value.remedy
    assert str(home.credentials) in caught.value.remedy
    assert kms.session == session + 1
    aws.clear()
    home.has(NEW, token="new")
    assert who(kms) == "after"


def test_credentials_that_were_renewed_before_the_old_ones_ran_out_cost_no_failed_call(
    home: Home, aws: EndpointControl
) -> None:
    home.has(OLD, token="old")
    kms = home.kms()
    assert who(kms) == "before"
    home.has(NEW, token="new")
    expire(aws, count=1)
    assert who(kms) == "after"


def test_the_same_credentials_are_not_tried_twice(home: Home, aws: EndpointControl) -> None:
    home.has(OLD, token="old")
    kms = home.kms()
    kms.call("ListKeys")
    expire(aws, count=1)
    with pytest.raises(CredentialsExpiredError):
        kms.call("ListKeys")
    kms.call("ListKeys")


def test_while_nothing_is_renewed_sessions_are_not_built_for_every_call(
    home: Home, aws: EndpointControl
) -> None:
    home.has(OLD, token="old")
    kms = home.kms()
    kms.call("ListKeys")
    expire(aws)
    before = kms.session
    for _ in range(5):
        with pytest.raises(CredentialsExpiredError):
            kms.call("ListKeys")
    assert kms.session == before + 1
    home.later()
    with pytest.raises(CredentialsExpiredError):
        kms.call("ListKeys")
    assert kms.session == before + 2


def test_calls_of_many_threads_agree_on_one_new_session(home: Home, aws: EndpointControl) -> None:
    home.has(OLD, token="old")
    kms = home.kms()
    kms.call("ListKeys")
    before = kms.session
    home.has(NEW, token="new")
    expire(aws, count=8)
    aws.set_latency(400)  # all are under way before the first one is refused
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: kms.call("ListKeys"), range(8)))
    assert all("Keys" in answer for answer in answers)
    assert kms.session == before + 1
    assert who(kms) == "after"


def test_a_call_under_way_ends_with_the_client_that_it_began_with(home: Home, aws: EndpointControl) -> None:
    home.has(OLD)
    kms = home.kms()
    kms.call("ListKeys")
    aws.set_latency(800)
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(kms.call, "ListKeys")
        home.has(NEW, token="another session")
        home.later()
        assert kms.renewals == 1
        assert not under_way.done()
        assert "Keys" in under_way.result()


def test_a_profile_that_is_gone_is_told_and_one_that_comes_back_is_found(home: Home) -> None:
    home.has(OLD)
    kms = home.kms()
    kms.call("ListKeys")
    home.has(NEW, profile="another-name")
    home.later()
    with pytest.raises(SettingsError, match="ops"):
        kms.call("ListKeys")
    home.has(NEW, token="back again")
    home.later()
    assert who(kms) == "after"


def test_a_file_that_is_just_being_written_is_read_once_it_is_whole(home: Home) -> None:
    home.has(OLD)
    kms = home.kms()
    kms.call("ListKeys")
    home.credentials.write_text("[ops\naws_acc")
    home.later()
    with pytest.raises(SettingsError, match="configuration"):
        kms.call("ListKeys")
    home.has(NEW)
    home.later()
    assert who(kms) == "after"


def test_a_named_profile_comes_before_the_environment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.has(NEW)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", OLD)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert who(home.kms("ops")) == "after"
    assert who(home.kms(None)) == "before"


def test_credentials_of_the_environment_can_only_be_renewed_by_a_new_start(
    home: Home, aws: EndpointControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", OLD)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "old")
    expire(aws)
    with pytest.raises(CredentialsExpiredError) as caught:
        home.kms(None).call("ListKeys")
    assert "AWS_SESSION_TOKEN" in caught.value.remedy
    assert "start Keydeck again" in caught.value.remedy


def test_the_refusal_stays_known_until_a_call_goes_through(home: Home, aws: EndpointControl) -> None:
    home.has(OLD, token="old")
    kms = home.kms()
    kms.call("ListKeys")
    assert kms.refusal is None
    expire(aws)
    with pytest.raises(CredentialsExpiredError) as caught:
        kms.identity()
    assert kms.refusal is not None
    assert (kms.refusal.message, kms.refusal.remedy) == (caught.value.message, caught.value.remedy)
    aws.clear()
    kms.call("ListKeys")
    assert kms.refusal is None


# credential_process

PROCESS = """
import json, pathlib, sys
state = pathlib.Path({state!r}).read_text()
if state == "locked":
    sys.exit("vault is locked")
fresh = state == "fresh"
print(json.dumps({{
    "Version": 1, "AccessKeyId": {new!r} if fresh else {old!r}, "SecretAccessKey": "s", "SessionToken": state,
    "Expiration": "2099-01-01T00:00:00Z" if fresh else "2020-01-01T00:00:00Z",
}}))
"""


@pytest.fixture
def process(home: Home) -> Callable[[str], None]:
    """A credential_process for profile ops; says how it goes from now on: expired, locked or fresh."""
    state = home.folder / "state"
    program = home.folder / "vault-helper"
    program.write_text(f"#!{sys.executable}\n" + PROCESS.format(state=str(state), old=OLD, new=NEW))
    program.chmod(0o755)
    home.config.write_text(f"[profile ops]\ncredential_process = {program} --token hunter2\n")

    def goes(how: str) -> None:
        state.write_text(how)

    return goes


@pytest.mark.parametrize("trouble", ["expired", "locked"])
def test_what_a_credential_process_renews_is_picked_up(
    home: Home, process: Callable[[str], None], trouble: str
) -> None:
    process(trouble)
    kms = home.kms()
    with pytest.raises(CredentialsError) as caught:
        kms.identity()
    assert isinstance(caught.value, CredentialsExpiredError) is (trouble == "expired")
    assert "vault-helper" in caught.value.remedy
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is not None
    process("fresh")
    assert who(kms) == "after"


def test_credentials_that_run_out_while_they_are_used_are_told_as_expired(
    home: Home, process: Callable[[str], None]
) -> None:
    process("fresh")
    kms = home.kms()
    assert who(kms) == "after"
    process("expired")
    credentials = kms._sessions._session.get_credentials()
    credentials._expiry_time = datetime.now(UTC) - timedelta(minutes=1)
    with pytest.raises(CredentialsExpiredError, match="has expired"):
        kms.call("ListKeys")
    process("fresh")
    assert "Keys" in kms.call("ListKeys")


@pytest.mark.deep
def test_a_call_does_not_wait_for_ever_for_a_credential_process_that_hangs(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.config.write_text("[profile ops]\ncredential_process = /bin/sleep 3\n")
    monkeypatch.setattr("crypto_core.aws.sessions.BUILDING_SECONDS", 0.3)
    kms = home.kms()
    with ThreadPoolExecutor(1) as pool:
        hung = pool.submit(kms.call, "ListKeys")
        while not kms._sessions._lock.locked():
            pass
        with pytest.raises(CredentialsError, match="still being fetched") as caught:
            kms.call("ListKeys")
        assert "/bin/sleep" in caught.value.remedy
        assert hung.exception() is not None


# SSO


def portal(asked: Asked) -> Answer:
    """The part of AWS's sign-in portal that hands out a role's credentials for an access token."""
    if asked.headers.get("x-amz-sso_bearer_token") != "signed in":
        told = {"message": "Session token not found"}
        return 401, {"x-amzn-ErrorType": "UnauthorizedException"}, json.dumps(told).encode()
    until = int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000)
    role = {"accessKeyId": NEW, "secretAccessKey": "s", "sessionToken": "t", "expiration": until}
    return 200, {}, json.dumps({"roleCredentials": role}).encode()


@pytest.fixture
def sign_in(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, timedelta], None]]:
    """Profile ops signs in by SSO; leave in the cache what `aws sso login` would leave."""
    monkeypatch.setenv("HOME", str(home.folder))
    cache = home.folder / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    # Both are told when botocore is imported.
    monkeypatch.setattr("botocore.tokens.SSOTokenProvider._SSO_TOKEN_CACHE_DIR", str(cache))
    monkeypatch.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(cache))
    home.config.write_text(
        "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = eu-west-1\n"
        "[profile ops]\nsso_session = corp\n"
        f"sso_account_id = {ACCOUNT}\nsso_role_name = oncall\n"
    )

    def leave(token: str, valid_for: timedelta) -> None:
        name = hashlib.sha1(b"corp", usedforsecurity=False).hexdigest()
        until = (datetime.now(UTC) + valid_for).strftime("%Y-%m-%dT%H:%M:%SZ")
        (cache / f"{name}.json").write_text(json.dumps({"accessToken": token, "expiresAt": until}))

    with answering(portal) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", url)
        yield leave


@pytest.mark.parametrize("state", ["never signed in", "token ran out", "token revoked"])
def test_an_sso_session_that_is_over_names_the_login_and_its_renewal_is_picked_up(
    home: Home, sign_in: Callable[[str, timedelta], None], state: str
) -> None:
    if state == "token ran out":
        sign_in("signed in", timedelta(hours=-1))
    elif state == "token revoked":
        sign_in("signed out", timedelta(hours=1))
    kms = home.kms()
    for ask in (kms.access_key, lambda: kms.database_token("db", 5432, "ana"), kms.identity):
        with pytest.raises(CredentialsExpiredError) as caught:
            ask()
        assert caught.value.remedy == "Sign in again: aws sso login --profile ops"
    assert kms.refusal is not None
    assert kms.refusal.message == caught.value.message
    sign_in("signed in", timedelta(hours=1))
    assert who(kms) == "after"


def test_a_login_is_noticed_though_no_call_is_made(
    home: Home, sign_in: Callable[[str, timedelta], None]
) -> None:
    kms = home.kms()
    before = kms.renewals
    sign_in("signed in", timedelta(hours=1))
    home.later()
    assert kms.renewals == before + 1
