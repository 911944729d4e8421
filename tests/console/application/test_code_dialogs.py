"""MFA codes are asked for on the screen: one dialog for all calls, and none once the console is left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from textual.widgets import Static

from console.application.code_dialogs import CodeDialogs
from console.sandbox.endpoint import EndpointControl, Fault
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms import KmsApi
from crypto_core.aws.mfa_codes import CodeQuestion
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KeydeckError
from screens.blocking_calls import DaemonThreads
from screens.context import CodeDialog
from tests.mfa_profile import DEVICE, forget_roles, write_profiles
from tests.screens.deck import Deck, deck, drawn

CODE = "492817"
WRONG = "MultiFactorAuthentication failed with invalid MFA one time pass code."


@pytest.fixture
def aws(
    environment: dict[str, str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[EndpointControl]:
    monkeypatch.setattr("getpass.getpass", lambda *_: pytest.fail("the terminal was read"))
    write_profiles(sandbox, tmp_path, monkeypatch)
    yield sandbox.control
    forget_roles()


def who(kms: KmsApi) -> str:
    try:
        return kms.identity().arn
    except KeydeckError as error:
        return str(error)


async def dialog(d: Deck) -> str:
    await d.until(lambda: drawn(d.app.screen, CodeDialog))
    return "\n".join(str(line.render()) for line in d.app.screen.query(Static))


async def test_eight_calls_wait_for_one_dialog_and_a_wrong_code_is_asked_again(aws: EndpointControl) -> None:
    aws.add_fault(Fault("AssumeRole", "AccessDenied", count=1, message=WRONG))
    codes = CodeDialogs()
    kms = KmsApi(attempts=1, profile="mfa", ask_code=codes)
    async with deck() as d:
        codes.serve(d.app)
        calls = [asyncio.wrap_future(DaemonThreads().submit(who, kms)) for _ in range(8)]
        assert DEVICE in await dialog(d)
        await d.type("111111")
        await d.press("enter")
        assert WRONG in await dialog(d)
        await d.type(CODE)
        assert CODE not in d.text()
        await d.press("enter")
        assert len({*await asyncio.gather(*calls)}) == 1
        assert "assumed-role/operators" in await calls[0]
        assert not isinstance(d.app.screen, CodeDialog)


async def test_esc_leaves_the_console_usable_and_no_call_asks_again(aws: EndpointControl) -> None:
    codes = CodeDialogs()
    kms = KmsApi(attempts=1, profile="mfa", ask_code=codes)
    async with deck() as d:
        codes.serve(d.app)
        calls = [asyncio.wrap_future(DaemonThreads().submit(who, kms)) for _ in range(8)]
        await dialog(d)
        await d.press("escape")
        (said,) = {*await asyncio.gather(*calls)}
        assert said.startswith("No credentials for profile mfa: its MFA code was not entered.")
        assert ":context" in said
        assert who(kms) == said
        await d.press("3")
        assert not isinstance(d.app.screen, CodeDialog)


async def test_who_waits_gets_nothing_once_the_console_is_left() -> None:
    codes = CodeDialogs()
    question = CodeQuestion(clean("mfa"), clean(DEVICE))
    early: list[object] = []
    before = Thread(target=lambda: early.append(codes(question)), daemon=True)
    before.start()
    async with deck() as d:
        codes.serve(d.app)
        await dialog(d)
    codes.leave()
    await asyncio.to_thread(before.join)
    assert early == [None]
    assert codes(question) is None
