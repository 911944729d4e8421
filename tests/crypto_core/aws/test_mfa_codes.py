"""A profile with a device is asked for its code, once, by whom was given; nothing reads the terminal."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.sandbox.endpoint import ACCOUNT, EndpointControl, Fault
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms import KmsApi
from crypto_core.aws.mfa_codes import CodeQuestion
from crypto_core.values.errors import CodeNotEnteredError, KmsAccessDeniedError, KmsUnreadableError
from crypto_core.values.secret import Secret
from tests.mfa_profile import DEVICE, ROLE, forget_roles, write_profiles

WRONG = "MultiFactorAuthentication failed with invalid MFA one time pass code."
CODE = "492817"


class Operator:
    """Enters what a test says, one after the other; None gives up."""

    def __init__(self, *answers: str | None) -> None:
        self.answers = [*answers]
        self.asked: list[CodeQuestion] = []
        self.at_once = 0
        self._now = 0

    def __call__(self, question: CodeQuestion) -> Secret | None:
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        self.asked.append(question)
        answer = self.answers.pop(0)
        self._now -= 1
        return None if answer is None else Secret.of(answer)


@pytest.fixture
def config(
    sandbox: Sandbox, aws: EndpointControl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Path]:
    monkeypatch.setattr("getpass.getpass", lambda *_: pytest.fail("the terminal was read"))
    yield write_profiles(sandbox, tmp_path, monkeypatch)
    forget_roles()


def kms(operator: Operator, profile: str = "mfa") -> KmsApi:
    return KmsApi(attempts=1, profile=profile, ask_code=operator)


def test_the_code_is_asked_for_with_the_profile_and_the_device_and_serves_every_session(config: Path) -> None:
    operator = Operator(CODE)
    first = kms(operator)
    assert first.identity().arn.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/operators/")
    first.call("ListKeys")
    assert kms(operator).identity().arn.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/operators/")
    assert operator.asked == [CodeQuestion("mfa", DEVICE)]  # type: ignore[arg-type]


def test_the_code_goes_to_sts_with_the_device(config: Path, aws: EndpointControl) -> None:
    api = kms(Operator(CODE))
    began = datetime.now(UTC) - timedelta(seconds=5)
    api.identity()
    found = api.read("cloudtrail", "LookupEvents", region="eu-west-1", StartTime=began)["Events"]
    (assumed,) = [json.loads(e["CloudTrailEvent"]) for e in found if e["EventName"] == "AssumeRole"]
    assert assumed["requestParameters"]["serialNumber"] == DEVICE


def test_a_role_without_a_device_asks_nobody(config: Path) -> None:
    operator = Operator()
    kms(operator, "plain").identity()
    assert operator.asked == []


def test_what_is_no_code_is_asked_for_again_without_aws(config: Path) -> None:
    operator = Operator("12345", "١٢٣٤٥٦", f" {CODE[:3]} {CODE[3:]} ")
    kms(operator).identity()
    assert [q.trouble for q in operator.asked] == ["", *["A code has six digits."] * 2]


def test_a_code_that_aws_does_not_take_is_asked_for_again_with_its_words(
    config: Path, aws: EndpointControl
) -> None:
    aws.add_fault(Fault("AssumeRole", "AccessDenied", count=2, message=f"{WRONG}[/red]\u202e\u200b"))
    operator = Operator("000000", "111111", CODE)
    kms(operator).identity()
    assert [q.trouble for q in operator.asked] == ["", *[f"{WRONG}[/red]"] * 2]


def test_a_role_that_is_denied_is_no_wrong_code(config: Path, aws: EndpointControl) -> None:
    aws.add_fault(
        Fault("AssumeRole", "AccessDenied", message="alice is not authorized to perform: sts:AssumeRole")
    )
    with pytest.raises(KmsAccessDeniedError) as raised:
        kms(Operator(CODE)).call("ListKeys")
    assert raised.value.action == "sts:AssumeRole"


def test_an_answer_that_is_not_awss_is_quoted_nowhere(config: Path, aws: EndpointControl) -> None:
    aws.add_fault(Fault("AssumeRole", "AccessDenied", message="secret\x1b"))
    with pytest.raises(KmsUnreadableError) as raised:
        kms(Operator(CODE)).call("ListKeys")
    assert raised.value.__context__ is None
    assert "secret" not in str(raised.value)


def test_eight_threads_that_want_credentials_ask_once(config: Path) -> None:
    operator = Operator(CODE)
    api = kms(operator)
    together = threading.Barrier(8)

    def ask(_: int) -> str:
        together.wait()
        return api.identity().arn

    with ThreadPoolExecutor(8) as pool:
        assert len({*pool.map(ask, range(8))}) == 1
    assert len(operator.asked) == operator.at_once == 1


def test_who_gives_up_is_asked_no_more_and_told_the_way_out(config: Path) -> None:
    operator = Operator(None)
    api = kms(operator)
    together = threading.Barrier(8)

    def ask(_: int) -> str:
        together.wait()
        with pytest.raises(CodeNotEnteredError) as raised:
            api.call("ListKeys")
        return raised.value.message

    with ThreadPoolExecutor(8) as pool:
        said = {*pool.map(ask, range(8))}
    assert said == {"No credentials for profile mfa: its MFA code was not entered."}
    assert len(operator.asked) == 1
    assert api.refusal is not None
    assert ":context" in api.refusal.remedy
    again = Operator(CODE)
    assert kms(again).identity()
    assert len(again.asked) == 1


def test_without_anybody_to_ask_it_says_so(config: Path) -> None:
    with pytest.raises(CodeNotEnteredError, match="needs an MFA code, and there is no terminal") as raised:
        KmsApi(attempts=1, profile="mfa").call("ListKeys")
    assert "AWS_SESSION_TOKEN" in raised.value.remedy


def test_the_end_of_the_roles_session_is_asked_about_again(config: Path) -> None:
    operator = Operator(CODE, "135790")
    api = kms(operator)
    api.identity()
    credentials = api._sessions._boto().get_credentials()
    credentials._expiry_time = datetime.now(UTC) + timedelta(seconds=5)
    for cached in api._sessions._roles.values():
        cached["Credentials"]["Expiration"] = datetime.now(UTC) + timedelta(seconds=5)
    api.call("ListKeys")
    assert [q.trouble for q in operator.asked] == ["", ""]


def test_credentials_that_aws_refuses_are_asked_for_again(config: Path, aws: EndpointControl) -> None:
    operator = Operator(CODE, "135790")
    api = kms(operator)
    api.identity()
    aws.add_fault(Fault("ListKeys", "ExpiredTokenException", count=1))
    api.call("ListKeys")
    assert len(operator.asked) == 2


def test_the_code_is_in_no_log_and_in_no_repr(
    config: Path, aws: EndpointControl, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    aws.add_fault(Fault("AssumeRole", "AccessDenied", count=1, message=WRONG))
    api = kms(Operator(CODE, CODE, None))
    api.identity()
    assert CODE not in caplog.text
    assert CODE not in repr([api, api._sessions, vars(api._sessions), vars(api._sessions._prompter)])


def test_hostile_names_of_profiles_and_devices_are_cleaned(config: Path) -> None:
    config.write_text(config.read_text().replace(DEVICE, f"{DEVICE}\x1b[31m\u202e"))
    operator = Operator(None)
    with pytest.raises(CodeNotEnteredError):
        kms(operator).identity()
    assert operator.asked[0].device == f"{DEVICE}[31m"


@pytest.mark.parametrize("nested", [False, True])
def test_what_gives_credentials_has_no_terminal_and_its_words_become_the_error(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], *, nested: bool
) -> None:
    seen = tmp_path / "seen"
    program = tmp_path / "give.py"
    program.write_text(
        "import os, sys\n"
        f"open({str(seen)!r}, 'w').write(repr((sys.stdin.read(), os.getsid(0) == os.getpid())))\n"
        "print('touch the key', file=sys.stderr)\n"
        "sys.exit(3)\n"
    )
    lines = [f"[profile key]\ncredential_process = {sys.executable} {program}\n"]
    lines += [f"[profile far]\nrole_arn = {ROLE}\nsource_profile = key\n"] if nested else []
    config.write_text("".join(lines))
    with pytest.raises(Exception, match="touch the key"):
        kms(Operator(), "far" if nested else "key").call("ListKeys")
    assert seen.read_text() == "('', True)"
    assert capfd.readouterr() == ("", "")
