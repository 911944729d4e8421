"""A new token takes an old one's place: asked about first, sealed, and never over another writer's value."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.world import World
from console.settings import load
from crypto_core.envelope import Format, classify
from crypto_core.guard.consent import Consent, Danger
from crypto_core.incidents.model import CheckState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.tokens.enter_token import SAVE_UNCHECKED
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.replacing_token.plan import VERB
from crypto_core.values import errors
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.crypto_core.canary import CANARY, assert_tells_nothing, chain_of
from tests.crypto_core.incidents.tokens.staging import Stage, build, name_of
from tests.crypto_core.second_person import SecondPerson
from tests.platform_rows import connect_github, put

ENTER = ActionKind.ENTER_TOKEN
Stored = Callable[[TokenRef], str]
Backups = Callable[[], list[tuple[str, str]]]


def github(world: World, number: int = 0) -> TokenRef:
    refs = world.sealed_under(world.current_key)
    return [r for r in refs if (r.table, r.column) == ("gh_connection", "access_token")][number]


def opens_to(container: Container, ref: TokenRef, stored: str) -> str:
    return TokenCipher(container.keyring).open(stored, ref=ref).token.reveal()


def test_a_new_token_is_asked_about_sealed_and_written_and_leaves_no_trace_of_itself(
    stage: Stage, world: World, stored: Stored, backups: Backups, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ref = github(world)
    old = stored(ref)
    stage.about(ref).capture(CaptureKind.TOKENS)
    fields = {f.name: f for f in stage.tools.actions[ENTER].fields(stage.situation())}
    assert fields["token"].secret
    assert [choice for choice, _ in fields["reference"].choices] == [str(ref)]
    pasted = Secret.of(f"\x1b[200~  {CANARY}\r\n\x1b[201~\n")
    plan = stage.plan(ENTER, reference=str(ref), token=pasted)
    assert (stored(ref), stage.providers.asked, plan.danger) == (old, [], Danger.CONFIRM)
    assert any("revoke it first" in warning for warning in plan.warnings)
    result = stage.run(ENTER, reference=str(ref), token=pasted)
    assert result.complete
    assert stage.providers.asked == [ref]
    assert opens_to(stage.container, ref, stored(ref)) == CANARY
    assert classify(stored(ref)).format is Format.V1
    assert backups() == [(VERB, old)]
    assert stage.journaled()[-3:] == [(str(ref), "dry run"), (str(ref), "started"), (str(ref), "done")]
    check = stage.again().look(CheckKind.TOKENS_REPLACED)
    assert (check.state, check.done, check.total) == (CheckState.PASSED, 1, 1)
    assert stage.container.services.inventory.row(ref).key_arn == world.current_key.arn
    told = (*result.lines, *plan.does, *plan.does_not, *plan.warnings, repr(plan), repr(result))
    assert_tells_nothing("\n".join(told))
    assert_tells_nothing(repr(plan.inner) + str(plan.as_json()))
    for text in (stage.everything_kept(), caplog.text):
        assert CANARY not in text
        assert stored(ref) not in text
        assert old not in text


def test_v2_stays_v2_and_is_bound_to_its_row(
    stage: Stage, world: World, platform: Engine, stored: Stored
) -> None:
    first, second = github(world, 0), github(world, 1)
    cipher = TokenCipher(stage.container.keyring, write_format=Format.V2)
    put(platform, first, cipher.encrypt("ghp_" + "o" * 36, ref=first).stored)
    stage.about(first, second)
    entered = stage.run(ENTER, reference=str(first), token=Secret.of(CANARY))
    assert not entered.complete
    assert entered.lines[-2:] == ("1 of 2 rows in scope hold a new token.", f"1 left, the next: {second}")
    assert classify(stored(first)).format is Format.V2
    assert opens_to(stage.container, first, stored(first)) == CANARY
    with pytest.raises(errors.KeydeckError):
        opens_to(stage.container, second, stored(first))
    raised = build(stage.container, write_format=Format.V2).about(second)
    plan = raised.plan(ENTER, reference=str(second), token=Secret.of(CANARY))
    assert any("must read v2 first" in warning for warning in plan.warnings)
    raised.run(ENTER, reference=str(second), token=Secret.of(CANARY))
    assert classify(stored(second)).format is Format.V2


def test_an_old_plaintext_token_is_never_kept_and_its_row_has_to_be_typed(
    stage: Stage, world: World, platform: Engine, stored: Stored, backups: Backups
) -> None:
    ref = github(world)
    put(platform, ref, "ghp_" + "p" * 36)
    stage.about(ref)
    inputs = {"reference": str(ref), "token": Secret.of(CANARY)}
    plan = stage.plan(ENTER, **inputs)
    assert (plan.danger, plan.confirmation) == (Danger.TYPED, ref.row_id)
    with pytest.raises(errors.NotConfirmedError):
        stage.tools.actions[ENTER].run_action(stage.situation(**inputs), plan, Consent.pressed(plan))
    stage.run(ENTER, **inputs)
    assert opens_to(stage.container, ref, stored(ref)) == CANARY
    assert backups() == []
    assert "p" * 36 not in stage.everything_kept()


def test_where_a_second_person_is_wanted_nothing_is_sent_or_written_before(
    services: Container, world: World, stored: Stored
) -> None:
    second, ref = SecondPerson(), github(world)
    stage = build(services, approvals=second).about(ref)
    old, inputs = stored(ref), {"reference": str(ref), "token": Secret.of(CANARY)}
    plan = stage.plan(ENTER, **inputs)
    for _ in range(2):
        with pytest.raises(errors.ApprovalNeededError):
            stage.run(ENTER, **inputs)
    second.approved.add("the digest of another plan")
    with pytest.raises(errors.ApprovalNeededError):
        stage.run(ENTER, **inputs)
    assert (stored(ref), stage.providers.asked) == (old, [])
    summary = f"Write a new token over the old one of {ref}"
    assert second.asked == [(VERB, summary, plan.digest)] * 3
    assert_tells_nothing(repr(second.shown))
    assert {outcome for _, outcome in stage.journaled()} == {"dry run", "refused"}
    second.approved.add(plan.digest)
    assert stage.run(ENTER, **inputs).complete
    assert opens_to(services, ref, stored(ref)) == CANARY


def test_what_the_platform_writes_meanwhile_stays(
    stage: Stage, world: World, platform: Engine, stored: Stored, backups: Backups
) -> None:
    ref = github(world)
    theirs = TokenCipher(stage.container.keyring).encrypt("gho_" + "t" * 36).stored
    stage.about(ref).capture(CaptureKind.TOKENS)
    # Between the last look at the row and the write.
    stage.providers.before = lambda: put(platform, ref, theirs)
    with pytest.raises(errors.RefusedError, match="theirs stays, nothing was written") as raised:
        stage.run(ENTER, reference=str(ref), token=Secret.of(CANARY))
    assert_tells_nothing(chain_of(raised.value))
    assert (stored(ref), backups()) == (theirs, [])
    assert stage.journaled()[-1] == (str(ref), "refused")
    # What the platform stored is another token, and sealed: the row is done.
    assert stage.look(CheckKind.TOKENS_REPLACED).passed
    # A plan of before the change is refused before anybody is asked.
    stage.providers.before, asked = (lambda: None), len(stage.providers.asked)
    inputs = {"reference": str(ref), "token": Secret.of(CANARY)}
    plan = stage.plan(ENTER, **inputs)
    put(platform, ref, TokenCipher(stage.container.keyring).encrypt("gho_" + "u" * 36).stored)
    with pytest.raises(errors.RefusedError, match="another writer has changed"):
        stage.tools.actions[ENTER].run_action(stage.situation(**inputs), plan, Consent.pressed(plan))
    assert len(stage.providers.asked) == asked


def test_a_dead_token_is_refused_and_one_that_nobody_knows_takes_a_word(
    stage: Stage, world: World, stored: Stored, backups: Backups
) -> None:
    ref = github(world)
    old = stored(ref)
    inputs = {"reference": str(ref), "token": Secret.of(CANARY)}
    stage.about(ref).providers.dead.add(name_of(CANARY))
    with pytest.raises(errors.RefusedError, match="the new token is dead"):
        stage.run(ENTER, **inputs, **{SAVE_UNCHECKED: "yes"})
    stage.providers.dead.clear()
    stage.providers.silent.add(name_of(CANARY))
    with pytest.raises(errors.RefusedError, match="is not known"):
        stage.run(ENTER, **inputs)
    assert (stored(ref), backups()) == (old, [])
    assert stage.run(ENTER, **inputs, **{SAVE_UNCHECKED: "yes"}).complete
    assert opens_to(stage.container, ref, stored(ref)) == CANARY


def test_what_can_be_no_new_token_is_refused_without_repeating_it(
    stage: Stage, world: World, stored: Stored
) -> None:
    ref = github(world)
    old = stored(ref)
    stage.about(ref)
    slack = "xoxb-CANARY-0123456789"
    for entered, why in {
        "": "empty",
        " \r\n\t": "empty",
        "ghp_CANARY\x1b[31mcanary": "control characters",
        "ghp_CANARY canary": "white space",
        "ghp_CANARYcanary\u200b": "letters that no token has",
        old: "an already sealed value",
        slack: "a token of slack",
        "CANARYcanary0123456789": "begins like no token of github",
        "ghr_" + "CANARY" * 7: "this is a refresh token, and access_token is for one that calls",
        "ghp_" + "CANARY" * 20_000: "65,536",
    }.items():
        with pytest.raises(errors.InvalidTokenError, match=why) as raised:
            stage.plan(ENTER, reference=str(ref), token=Secret.of(entered))
        told = chain_of(raised.value)
        assert "CANARY" not in told
        assert old not in told
    with pytest.raises(errors.RefusedError, match="the one to be replaced"):
        stage.plan(ENTER, reference=str(ref), token=Secret.of(world.token_for(ref)))
    with pytest.raises(errors.InvalidTokenError, match="No token was entered"):
        stage.plan(ENTER, reference=str(ref))
    with pytest.raises(errors.RefusedError, match="not in the scope"):
        stage.plan(ENTER, reference=str(github(world, 1)), token=Secret.of(CANARY))
    assert (stored(ref), stage.providers.asked) == (old, [])
    assert {outcome for _, outcome in stage.journaled()} == {"refused"}
    assert "CANARY" not in stage.everything_kept()


def test_a_consent_is_to_this_very_token(stage: Stage, world: World, stored: Stored) -> None:
    ref = github(world)
    old = stored(ref)
    stage.about(ref)
    plan = stage.plan(ENTER, reference=str(ref), token=Secret.of(CANARY))
    action = stage.tools.actions[ENTER]
    other = stage.situation(reference=str(ref), token=Secret.of("ghp_" + "x" * 36))
    with pytest.raises(errors.NotConfirmedError, match="a different token"):
        action.run_action(other, plan, Consent.pressed(plan))
    with pytest.raises(errors.NotConfirmedError):
        action.run_action(stage.situation(reference=str(ref), token=Secret.of(CANARY)), plan, None)
    assert (stored(ref), stage.providers.asked) == (old, [])


def test_read_only_refuses(environment: dict[str, str], stage: Stage, world: World, stored: Stored) -> None:
    ref = github(world)
    old = stored(ref)
    container = Container(load().settings.model_copy(update={"read_only": True}))
    try:
        reading = build(container, read_only=True).about(ref)
        with pytest.raises(errors.ReadOnlyError):
            reading.run(ENTER, reference=str(ref), token=Secret.of(CANARY))
    finally:
        container.close()
    assert (stored(ref), reading.providers.asked, stage.journaled()) == (old, [], [])


_KILLED = """
import os, sys
from console.settings import load
from console.container import Container
from crypto_core.incidents.runbooks.catalogue import ActionKind
from crypto_core.reencryption.replacing_token import service as entering
from crypto_core.values.secret import Secret
from tests.crypto_core.incidents.tokens.staging import build
reference, token, when = sys.argv[1:]
stage = build(Container(load().settings)).about(reference)
if when == "before commit":
    record = stage.container.journal.record
    def die(action, subject, outcome, *more, within=None, **named):
        record(action, subject, outcome, *more, within=within, **named)
        if within is not None:
            os._exit(9)
    stage.container.journal.record = die
else:
    entering.answer_about = lambda *_: os._exit(9)
stage.run(ActionKind.ENTER_TOKEN, reference=reference, token=Secret.of(token))
"""


@pytest.mark.deep
def test_killed_before_or_after_the_commit_the_row_holds_one_whole_token_and_it_goes_on(
    stage: Stage, world: World, stored: Stored, backups: Backups
) -> None:
    ref, new = github(world), "ghp_" + "k" * 36
    old = stored(ref)
    stage.about(ref).capture(CaptureKind.TOKENS)

    def killed(when: str) -> int:
        here = Path(__file__).parents[4]
        command = [sys.executable, "-c", _KILLED, str(ref), new, when]
        return subprocess.run(command, cwd=here, env=dict(os.environ), check=False, timeout=120).returncode

    assert killed("before commit") == 9
    assert (stored(ref), backups()) == (old, [])
    assert stage.journaled()[-1] == (str(ref), "started")
    assert not stage.again().look(CheckKind.TOKENS_REPLACED).passed
    assert killed("after commit") == 9
    assert opens_to(stage.container, ref, stored(ref)) == new
    assert backups() == [(VERB, old)]
    assert stage.journaled()[-1] == (str(ref), "done")
    written = stored(ref)
    # Another console finds that it is done; entering it again writes nothing.
    later = stage.again()
    assert later.look(CheckKind.TOKENS_REPLACED).passed
    plan = later.plan(ENTER, reference=str(ref), token=Secret.of(new))
    assert plan.danger is Danger.NONE
    assert later.run(ENTER, reference=str(ref), token=Secret.of(new)).complete
    assert (stored(ref), len(backups())) == (written, 1)


def test_hostile_rows_can_be_chosen_and_harm_nothing(stage: Stage, platform: Engine, stored: Stored) -> None:
    sealed = TokenCipher(stage.container.keyring).encrypt("ghp_" + "h" * 36).stored
    ref = connect_github(
        platform, "gh\x1b]0;x\x07-[/red]\u202e", sealed, organisation="[bold]\x1b[2J" + "o" * 5_000
    )
    stage.about(filter="org:*[bold]*")
    told = stage.capture(CaptureKind.TOKENS)
    fields = stage.tools.actions[ENTER].fields(stage.situation())
    chosen = fields[0].default
    plan = stage.plan(ENTER, reference=chosen, token=Secret.of(CANARY))
    result = stage.run(ENTER, reference=chosen, token=Secret.of(CANARY))
    assert result.complete
    assert opens_to(stage.container, ref, stored(ref)) == CANARY
    assert stage.again().look(CheckKind.TOKENS_REPLACED).passed
    shown = "\n".join(
        (*plan.does, *plan.warnings, plan.title, plan.confirmation, *result.lines, chosen, str(told))
    )
    assert not [c for c in shown if c != "\n" and not c.isprintable()]
    assert max(map(len, plan.does)) < 600


def test_a_refresh_token_is_entered_though_no_provider_can_be_asked_about_it(
    stage: Stage, world: World, stored: Stored
) -> None:
    new = {"gh_connection": "ghr_" + "r" * 40, "jira_connection": "eyJ" + "r" * 400}
    refs = [next(r for r in world.tokens if (r.table, r.column) == (table, "refresh_token")) for table in new]
    stage.about(*refs)
    for ref, (table, style) in zip(refs, new.items(), strict=True):
        if table == "gh_connection":
            with pytest.raises(errors.InvalidTokenError, match="no refresh token of github"):
                stage.plan(ENTER, reference=str(ref), token=Secret.of(CANARY))
        plan = stage.plan(ENTER, reference=str(ref), token=Secret.of(style))
        assert any("Nobody can say whether the new token is alive" in warning for warning in plan.warnings)
        assert not any("Asks" in line for line in plan.does)
        asked = len(stage.providers.asked)
        result = stage.run(ENTER, reference=str(ref), token=Secret.of(style))
        assert result.complete == (ref == refs[-1])
        assert len(stage.providers.asked) == asked
        assert opens_to(stage.container, ref, stored(ref)) == style
        assert_tells_nothing("\n".join((*plan.does, *plan.warnings, *result.lines)))
