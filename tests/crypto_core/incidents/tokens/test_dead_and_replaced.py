"""Old tokens are asked about, revoked and proved dead; new ones are never taken for old ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from console.sandbox.world import World
from crypto_core.envelope import Format
from crypto_core.guard.consent import Consent, Danger
from crypto_core.incidents.model import CheckState
from crypto_core.incidents.revocation_order import NoAbilities, RevocationOrdering
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.tokens.scope_tokens import ScopedTokens
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import NotConfirmedError, RefusedError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.crypto_core.incidents.tokens.staging import Stage, build, name_of
from tests.platform_rows import put

ASK, REVOKE, ENTER = ActionKind.ASK_LIVENESS, ActionKind.REVOKE_TOKENS, ActionKind.ENTER_TOKEN
DEAD, REPLACED = CheckKind.TOKENS_DEAD, CheckKind.TOKENS_REPLACED
NEW = "ghp_" + "n" * 36


def of_column(world: World, table: str, column: str = "access_token") -> list[TokenRef]:
    refs = (*world.sealed_under(world.current_key), *world.sealed_under(world.old_key))
    return [r for r in refs if (r.table, r.column) == (table, column)]


def reencrypt(stage: Stage, ref: TokenRef, target: str) -> None:
    work = stage.container.services.work
    plan = work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), target)
    assert work.run_plan(plan, Consent.by_option(plan)).complete


def test_without_abilities_revocation_goes_by_exposure_alone_and_says_so(stage: Stage, world: World) -> None:
    why = "keydeck abilities is not installed."
    ordering = RevocationOrdering(NoAbilities(why), stage.parts.ordering.exposure)
    alone = replace(stage, parts=replace(stage.parts, ordering=ordering)).again()
    refs = of_column(world, "gh_connection")[:2]
    does = alone.about(*refs).plan(REVOKE).does
    assert f"The worst first, by exposure alone. {why}" in does
    assert not any("it is known what they can do" in line for line in does)
    assert sum("What it can do is not known" in line for line in does) == len(refs)


def test_a_revocation_is_typed_proved_and_taken_up_again_until_all_are_dead(
    stage: Stage, world: World
) -> None:
    first, second = of_column(world, "gh_connection")[:2]
    by_hand = of_column(world, "jira_connection")[0]
    stage.about(first, second, by_hand)
    assert stage.look(CheckKind.SCOPE_KNOWN).total == 3
    assert stage.look(DEAD).state is CheckState.NOT_YET
    plan = stage.plan(REVOKE)
    assert (plan.danger, plan.confirmation) == (Danger.TYPED, "2")
    assert plan.digest == stage.providers.plan_revocation((first, second, by_hand)).digest
    assert any(str(by_hand) in line and "id.atlassian.com" in line for line in plan.does_not)
    with pytest.raises(NotConfirmedError):
        stage.tools.actions[REVOKE].run_action(stage.situation(), plan, Consent.pressed(plan))
    assert stage.providers.revoked == []
    stage.providers.stubborn.add(name_of(world.token_for(second)))
    result = stage.run(REVOKE)
    assert not result.complete
    assert result.lines[0] == "github: 2 tokens, revocation accepted of 2, proved dead 1."
    assert {k: result.values[k] for k in ("dead", "alive", "unknown_liveness")} == {
        "dead": "1",
        "alive": "1",
        "unknown_liveness": "1",
    }
    assert [kind for kind, _ in stage.kept] == ["tokens", "liveness"]
    seen = stage.look(DEAD)
    assert (seen.state, seen.done, seen.total) == (CheckState.NOT_YET, 1, 3)
    # Another console goes on: what is dead is left out.
    stage = stage.again()
    stage.providers.stubborn.clear()
    stage.run(REVOKE)
    assert stage.providers.revoked == [first, second, second]
    assert stage.look(DEAD).state is CheckState.UNKNOWN
    assert not stage.run(REVOKE).complete  # only what is left by hand
    assert stage.providers.revoked == [first, second, second]
    # It is done by hand, and asking proves it.
    stage.providers.dead.add(name_of(world.token_for(by_hand)))
    assert stage.run(ASK).values["dead"] == "3"
    assert stage.look(DEAD).passed
    assert stage.plan(REVOKE).danger is Danger.NONE
    assert stage.run(REVOKE).complete
    assert not [ref for ref in (first, second) if world.token_for(ref) in stage.everything_kept()]


def test_asking_sends_nothing_before_it_is_agreed_to_and_silence_is_no_death(
    stage: Stage, world: World, platform: Engine
) -> None:
    first, second = of_column(world, "gh_connection")[:2]
    nobody = next(r for r in world.tokens if r.table == "confluence_connection")
    stage.about(first, second, nobody)
    plan = stage.plan(ASK)
    assert (plan.danger, stage.providers.asked) == (Danger.CONFIRM, [])
    assert any(str(nobody) in line for line in plan.does_not)
    with pytest.raises(NotConfirmedError):
        stage.tools.actions[ASK].run_action(stage.situation(), plan, None)
    assert stage.providers.asked == []
    stage.providers.dead.add(name_of(world.token_for(first)))
    stage.providers.silent.add(name_of(world.token_for(second)))
    result = stage.run(ASK)
    assert not result.complete
    seen = stage.look(DEAD)
    assert (seen.state, seen.done) == (CheckState.UNKNOWN, 1)
    # Once somebody has said that it is dead, later silence takes nothing back.
    stage.providers.silent.add(name_of(world.token_for(first)))
    stage.run(ASK)
    assert stage.look(DEAD).done == 1
    # A token that is written while it is asked about: nobody knows which one was asked.
    stage.providers.dead.add(name_of(world.token_for(second)))
    stage.providers.silent.clear()
    sealed = TokenCipher(stage.container.keyring).encrypt(NEW).stored
    stage.providers.before = lambda: put(platform, second, sealed)
    stage.run(ASK)
    assert stage.look(DEAD).done == 1


def test_a_new_token_is_never_revoked_and_the_old_one_is_told_if_nobody_proved_it_dead(
    stage: Stage, world: World
) -> None:
    first, second = of_column(world, "gh_connection")[:2]
    stage.about(first, second).capture(CaptureKind.TOKENS)
    stage.run(ENTER, reference=str(first), token=Secret.of(NEW))
    seen = stage.look(REPLACED)
    assert (seen.state, seen.done, seen.total) == (CheckState.NOT_YET, 1, 2)
    plan = stage.plan(REVOKE)
    assert plan.confirmation == "1"
    assert any(str(first) in line and "never proved dead" in line for line in plan.does_not)
    stage.run(REVOKE)
    assert stage.providers.revoked == [second]
    # The provider called the new token alive: that says nothing of the old one.
    seen = stage.look(DEAD)
    assert (seen.state, seen.done) == (CheckState.UNKNOWN, 1)


def test_a_token_that_was_reencrypted_is_the_old_one_still(stage: Stage, world: World) -> None:
    first, second = of_column(world, "gh_connection")[:2]
    stage.about(first, second).capture(CaptureKind.TOKENS)
    reencrypt(stage, first, world.old_key.arn)
    seen = stage.look(REPLACED)
    assert (seen.state, seen.done) == (CheckState.NOT_YET, 0)
    stage.run(REVOKE)
    assert stage.providers.revoked == [first, second]
    reencrypt(stage, second, world.old_key.arn)
    assert stage.look(DEAD).passed


def test_a_new_token_in_plaintext_is_not_done_and_a_row_that_is_gone_is(
    stage: Stage, world: World, platform: Engine
) -> None:
    first, second = of_column(world, "gh_connection")[:2]
    stage.about(first, second)
    assert stage.look(REPLACED).state is CheckState.UNKNOWN  # nobody knows what it held
    stage.capture(CaptureKind.TOKENS)
    with platform.begin() as connection:
        connection.execute(text("DELETE FROM gh_connection WHERE id = :id"), {"id": first.row_id})
    put(platform, second, NEW)
    seen = stage.look(REPLACED)
    assert (seen.state, seen.done) == (CheckState.NOT_YET, 1)
    assert "encrypt it in place" in seen.lines[-1]
    assert NEW not in stage.everything_kept()


@pytest.mark.deep
def test_a_key_incidents_tokens_are_those_under_the_key_and_those_that_were_moved(
    stage: Stage, world: World
) -> None:
    old = set(world.sealed_under(world.old_key))
    moved = min(old)
    scoped = ScopedTokens(stage.parts)
    stage.about(key=world.old_key.arn)
    assert old <= set(scoped.resolve(stage.incident).refs)
    reencrypt(stage, moved, world.current_key.arn)
    assert moved not in scoped.resolve(stage.incident).refs
    stage.keep_values(new_key=world.current_key.arn)
    assert old <= set(scoped.resolve(stage.incident).refs)
    # Only few are asked about here: what a plan warns of is the rest of the database.
    few = build(stage.container).about(key=world.old_key.arn)
    unsealed = world.by_format[Format.PLAINTEXT] + world.by_format[Format.DEV]
    assert any(f"{unsealed:,} tokens stored in plaintext" in w for w in few.plan(REVOKE).warnings)


def test_a_scope_is_told_whole_or_not_acted_on(stage: Stage, world: World) -> None:
    ref = of_column(world, "gh_connection", "refresh_token")[0]
    stage.about(f"gh_connection:{ref.row_id}", "gh_connection:gone", "no_table:1")
    seen = stage.look(CheckKind.SCOPE_KNOWN)
    assert (seen.state, seen.total) == (CheckState.FAILED, 2)
    assert ["gh_connection:gone" in seen.lines[1], "no_table" in seen.lines[0]] == [True, True]
    small = build(stage.container, most=3).about(filter="provider:github")
    assert "than the 3 that one incident acts on" in small.look(CheckKind.SCOPE_KNOWN).lines[0]
    told = small.capture(CaptureKind.TOKENS)
    assert (told["whole"], len(told["tokens"])) == (False, 3)
    for kind in (ASK, REVOKE):
        with pytest.raises(RefusedError) as raised:
            small.plan(kind)
        assert "by filter" in raised.value.remedy
    assert {small.look(kind).state for kind in (DEAD, REPLACED)} == {CheckState.UNKNOWN}
    stage.about(database="restored")
    with pytest.raises(RefusedError, match="not about tokens of this database"):
        stage.capture(CaptureKind.TOKENS)
    assert stage.about(filter="provider:nobody").look(CheckKind.SCOPE_KNOWN).state is CheckState.FAILED
