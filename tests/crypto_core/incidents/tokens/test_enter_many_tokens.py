"""Many new tokens from a file: one plan, each row by itself, and nothing of a token anywhere."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.world import World
from crypto_core.guard.consent import Consent, Danger
from crypto_core.incidents.model import CheckState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.tokens.enter_token import SAVE_UNCHECKED
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.values.errors import InvalidTokenError, KeydeckError, NotConfirmedError, RefusedError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.crypto_core.canary import CANARY, assert_tells_nothing, chain_of
from tests.crypto_core.incidents.tokens.staging import Stage, build, name_of
from tests.platform_rows import put

ENTER = ActionKind.ENTER_TOKEN
Stored = Callable[[TokenRef], str]


def github(world: World, count: int) -> list[TokenRef]:
    refs = world.sealed_under(world.current_key)
    return [r for r in refs if (r.table, r.column) == ("gh_connection", "access_token")][:count]


def new(number: int) -> str:
    return f"{CANARY}{number:04}"


def write(folder: Path, *lines: str, mode: int = 0o600, name: str = "new.csv") -> str:
    path = folder / name
    path.write_text("\r\n".join(lines))
    path.chmod(mode)
    return str(path)


def opens_to(container: Container, ref: TokenRef, stored: str) -> str:
    return TokenCipher(container.keyring).open(stored, ref=ref).token.reveal()


def test_one_plan_names_each_row_and_each_is_written_as_a_single_one_is(
    stage: Stage, world: World, stored: Stored, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refs = github(world, 3)
    old = [stored(ref) for ref in refs]
    stage.about(*refs).capture(CaptureKind.TOKENS)
    lines = [f'"{ref}", {new(n)} ' for n, ref in enumerate(refs)]
    path = write(tmp_path, "reference,new token", lines[0], "", *lines[1:])
    fields = {f.name: f for f in stage.tools.actions[ENTER].fields(stage.situation())}
    assert (fields["file"].required, fields["file"].instead_of) == (False, "token")
    assert {f.name for f in stage.tools.actions[ENTER].fields(stage.situation(file=path))} == {
        "file",
        SAVE_UNCHECKED,
    }
    plan = stage.plan(ENTER, file=path)
    assert (plan.danger, stage.providers.asked, [stored(ref) for ref in refs]) == (Danger.CONFIRM, [], old)
    for line, ref in zip((2, 4, 5), refs, strict=True):
        assert any(
            text.startswith(f"Line {line}: replaces the token of {ref} (github: ") for text in plan.does
        )
    assert f"{path} holds tokens in clear text: delete it" in plan.warnings[0]
    assert any("3 old tokens not proved dead" in warning for warning in plan.warnings)
    result = stage.run(ENTER, file=path)
    assert result.complete
    assert "3 of 3 lines written." in result.lines
    assert any("delete it" in line for line in result.lines)
    assert stage.providers.asked == refs
    assert [opens_to(stage.container, ref, stored(ref)) for ref in refs] == [new(n) for n in range(3)]
    assert stage.again().look(CheckKind.TOKENS_REPLACED).state is CheckState.PASSED
    journal = stage.journaled()
    assert {(str(ref), "done") for ref in refs} <= set(journal)
    assert journal[-1] == ("3 tokens", "done")
    told = (*result.lines, *plan.does, *plan.does_not, *plan.warnings, repr(plan), repr(result))
    assert_tells_nothing("\n".join(told) + repr(plan.inner) + str(plan.inner.as_json()))
    for text in (stage.everything_kept(), caplog.text):
        assert "CANARY" not in text
    again = stage.plan(ENTER, file=path)
    assert (again.danger, "holds this token already" in again.does[0]) == (Danger.NONE, True)
    assert stage.run(ENTER, file=path).complete


def test_a_row_that_cannot_be_written_is_named_by_its_line_and_the_others_are(
    stage: Stage, world: World, platform: Engine, stored: Stored, tmp_path: Path
) -> None:
    refs = github(world, 4)
    stage.about(*refs)
    path = write(tmp_path, *(f"{ref},{new(n)}" for n, ref in enumerate(refs)))
    stage.providers.dead.add(name_of(new(1)))
    stage.providers.silent.add(name_of(new(2)))
    theirs = TokenCipher(stage.container.keyring).encrypt("ghp_" + "t" * 36, ref=refs[3]).stored

    def platform_writes() -> None:
        if len(stage.providers.asked) == 2:
            put(platform, refs[3], theirs)

    stage.providers.before = platform_writes
    before = {ref: stored(ref) for ref in refs}
    result = stage.run(ENTER, file=path)
    assert not result.complete
    assert result.lines[0].startswith(f"Line 2, {refs[1]}: not written: ")
    assert "dead" in result.lines[0]
    assert result.lines[1].startswith(f"Line 3, {refs[2]}: not written: ")
    assert result.lines[2].startswith(f"Line 4, {refs[3]}: not written: ")
    assert "theirs stays" in result.lines[2]
    assert "1 of 4 lines written." in result.lines
    assert opens_to(stage.container, refs[0], stored(refs[0])) == new(0)
    assert [stored(ref) for ref in refs[1:]] == [before[refs[1]], before[refs[2]], theirs]
    assert stage.journaled()[-1] == ("4 tokens", "failed")
    assert_tells_nothing("\n".join(result.lines))
    unchecked = stage.run(ENTER, file=write(tmp_path, f"{refs[2]},{new(2)}"), although_unchecked="yes")
    assert "1 of 1 line written." in unchecked.lines


def test_a_cancel_while_the_provider_is_asked_leaves_the_row_as_it_is(
    stage: Stage, world: World, stored: Stored, tmp_path: Path
) -> None:
    refs = github(world, 2)
    stage.about(*refs)
    path = write(tmp_path, *(f"{ref},{new(n)}" for n, ref in enumerate(refs)))
    before = [stored(ref) for ref in refs]
    plan, cancelled = stage.plan(ENTER, file=path), Event()
    stage.providers.before = cancelled.set
    situation = replace(stage.situation(file=path), cancelled=cancelled)
    result = stage.tools.actions[ENTER].run_action(situation, plan, Consent.pressed(plan))
    assert "0 of 2 lines written." in result.lines
    assert stage.providers.asked == refs[:1]
    assert [stored(ref) for ref in refs] == before


def test_a_plan_is_for_these_tokens_and_plaintext_takes_the_number_typed(
    stage: Stage, world: World, platform: Engine, stored: Stored, tmp_path: Path
) -> None:
    refs = github(world, 2)
    put(platform, refs[0], "ghp_" + "p" * 36)
    stage.about(*refs)
    path = write(tmp_path, *(f"{ref},{new(n)}" for n, ref in enumerate(refs)))
    plan = stage.plan(ENTER, file=path)
    assert (plan.danger, plan.confirmation) == (Danger.TYPED, "2")
    action, situation = stage.tools.actions[ENTER], stage.situation(file=path)
    with pytest.raises(NotConfirmedError):
        action.run_action(situation, plan, Consent.pressed(plan))
    write(tmp_path, *(f"{ref},{new(n + 7)}" for n, ref in enumerate(refs)))
    before = [stored(ref) for ref in refs]
    with pytest.raises(NotConfirmedError, match="different"):
        action.run_action(situation, plan, Consent.typed(plan, "2"))
    assert [stored(ref) for ref in refs] == before
    alike = stage.plan(ENTER, file=write(tmp_path, f"{refs[0]},{CANARY}", f"{refs[1]},{CANARY}"))
    assert any("The same token is in lines 1, 2." in warning for warning in alike.warnings)


def test_a_file_that_others_may_read_or_that_is_none_is_refused(
    stage: Stage, world: World, tmp_path: Path
) -> None:
    (ref,) = github(world, 1)
    stage.about(ref)
    for mode in (0o644, 0o640, 0o602, 0o606):
        with pytest.raises(RefusedError, match="read or written by others") as refused:
            stage.plan(ENTER, file=write(tmp_path, f"{ref},{CANARY}", mode=mode))
        assert "chmod 600" in str(refused.value)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path, why in (
        (str(tmp_path), "no file"),
        (str(pipe), "no file"),
        (str(tmp_path / "none"), "No such file"),
        ("\x00", "can't be read"),
        ("/dev/zero", "no file"),
        ("x" * 10_000, "can't be read"),
    ):
        with pytest.raises(RefusedError, match=why) as refused:
            stage.plan(ENTER, file=path)
        assert refused.value.message.isprintable()
    with pytest.raises(RefusedError, match="or name a file"):
        stage.plan(ENTER, file=write(tmp_path, f"{ref},{CANARY}"), token=Secret.of(CANARY))


@pytest.mark.quick(5)
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no token"),
        ("reference,token\r\n", "no token"),
        ("{ref}", "Line 1 is not"),
        ("{ref},{token},x", "Line 1 is not"),
        ("{ref},", "Line 1 is not"),
        (",{token}", "Line 1 is not"),
        ("{token},{ref}", "Line 1 names no row"),
        ("reference,token\n\n{ref},{token}\nnowhere.x:1,{token}", "Line 4 names no row"),
        ("{ref},{token}\n{ref},{token}x", "Line 2: .* stands in line 1, too"),
        ("{ref},{token} {token}", "Line 1: .* white space"),
        ("{ref},{token}\x1b[2J", "Line 1: .* control characters"),
        ("{ref},xoxb-{token}", "begins like a token of slack"),
        ("{ref},djF8{token}AAAA", "already sealed"),
        ('{ref},"{token}', "Line 1 is no CSV"),
        ('{ref},"{token}"x', "Line 1 is no CSV"),
        ("[/red]\x1b[2J,{token}", "Line 1 names no row"),
    ],
)
def test_a_line_that_is_none_is_named_and_nothing_is_written(
    stage: Stage, world: World, stored: Stored, tmp_path: Path, text: str, fault: str
) -> None:
    (ref,) = github(world, 1)
    before = stored(ref)
    stage.about(ref)
    path = write(tmp_path, text.replace("{ref}", str(ref)).replace("{token}", CANARY))
    with pytest.raises((RefusedError, InvalidTokenError), match=fault) as refused:
        stage.plan(ENTER, file=path)
    assert "Nothing was written." in str(refused.value)
    assert_tells_nothing(chain_of(refused.value))
    assert "CANARY" not in stage.everything_kept()
    assert (stored(ref), stage.providers.asked) == (before, [])


def test_files_of_no_text_or_of_endless_size_are_refused(stage: Stage, world: World, tmp_path: Path) -> None:
    (ref,) = github(world, 1)
    stage.about(ref)
    path = tmp_path / "new.csv"
    for content, why in (
        (b"\xff\xfe" + CANARY.encode(), "not text in UTF-8"),
        (b"x" * 10_000_000, "larger than"),
        (b"," + b"x" * 1_000_000, "no CSV"),
        (b"\n".join(b"a,b" for _ in range(1_001)), "more than 1,000"),
    ):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(KeydeckError, match=why) as refused:
            stage.plan(ENTER, file=str(path))
        assert len(str(refused.value)) < 1_000
        assert_tells_nothing(chain_of(refused.value))


def test_read_only_writes_nothing(stage: Stage, world: World, stored: Stored, tmp_path: Path) -> None:
    refs = github(world, 2)
    before = [stored(ref) for ref in refs]
    only = build(stage.container, read_only=True).about(*refs)
    path = write(tmp_path, *(f"{ref},{new(n)}" for n, ref in enumerate(refs)))
    with pytest.raises(KeydeckError, match="read-only"):
        only.run(ENTER, file=path)
    assert ([stored(ref) for ref in refs], only.providers.asked) == (before, [])
