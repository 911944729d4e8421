"""Tokens are tried, here and in a restored database, and the result is kept whatever it is."""

from __future__ import annotations

import json
from dataclasses import replace
from threading import Event
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.envelope import Format
from crypto_core.guard.consent import Consent
from crypto_core.incidents.model import CheckState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.tokens.restored_tokens import restored_at
from crypto_core.incidents.tokens.toolbox import token_tools
from crypto_core.incidents.tokens.verify_tokens import picked
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keys.dependent_copies import NoRegister
from crypto_core.values.errors import KmsUnreachableError, RefusedError, SettingsError
from crypto_core.values.references import TokenRef
from tests.crypto_core.incidents.tokens.staging import Stage, build
from tests.platform_rows import connect_github

OPEN = CheckKind.TOKENS_OPEN


def test_tokens_in_scope_are_tried_and_what_did_not_open_is_named(stage: Stage, world: World) -> None:
    whole = world.sealed_under(world.current_key)[:5]
    stage.about(*whole)
    assert stage.look(OPEN).state is CheckState.NOT_YET
    with pytest.raises(RefusedError, match="no verification to keep yet"):
        stage.capture(CaptureKind.VERIFICATION)
    result = stage.run(ActionKind.VERIFY_TOKENS)
    assert result.complete
    assert (result.values["opened"], result.values["not_opened"]) == ("5", "0")
    assert stage.look(OPEN).passed
    broken = next(r for r, t in world.tokens.items() if t.corruption is not None and t.format is Format.V1)
    stage.about(*whole, broken, world.plaintext_refs[0])
    assert stage.run(ActionKind.VERIFY_TOKENS).complete  # the trying is done
    seen = stage.look(OPEN)
    assert (seen.state, seen.done, seen.total) == (CheckState.FAILED, 5, 6)
    told = stage.capture(CaptureKind.VERIFICATION)
    assert (told["result"], told["tried"], told["unsealed"]) == ("not passed", 7, 1)
    assert str(broken) in stage.everything_kept()
    # One that was interrupted proves nothing, whatever it came to until then.
    stopped = Event()
    situation = replace(stage.about(*whole).situation({"sample": 2}), cancelled=stopped)
    action = stage.tools.actions[ActionKind.VERIFY_TOKENS]
    plan = action.plan_action(situation)
    sample = picked(whole, 2, stage.incident.name)
    assert plan.does[0].startswith(f"Opens {len(sample)} tokens of 5")
    cut = action.run_action(situation, plan, Consent.pressed(plan), lambda done, total: stopped.set())
    assert not stage.keep(cut).complete
    assert stage.look(OPEN).state is CheckState.NOT_YET
    assert world.token_for(whole[0]) not in stage.everything_kept()


def test_a_sample_has_tokens_of_every_column_and_the_same_ones_again() -> None:
    refs = [TokenRef("a", "x", str(n)) for n in range(900)] + [TokenRef("b", "y", str(n)) for n in range(3)]
    sample = picked(refs, 30, "INC-7")
    assert sample == picked(list(reversed(refs)), 30, "INC-7") != picked(refs, 30, "INC-8")
    assert [sum(ref.table == table for ref in sample) for table in "ab"] == [30, 1]
    assert (picked(refs, 0, ""), picked(refs, 10_000, "")) == (tuple(refs), tuple(refs))


def test_a_restored_database_is_tried_counted_and_left_as_it_is(
    stage: Stage, world: World, superuser: Engine
) -> None:
    stage.about(database="restored")
    number = sum(n for f, n in world.by_format.items() if f is not Format.EMPTY)
    seen = stage.look(CheckKind.SCOPE_KNOWN)
    assert (seen.state, seen.total) == (CheckState.PASSED, number)
    with superuser.begin() as connection:
        connection.execute(text("TRUNCATE keydeck.key_answer"))
    result = stage.run(ActionKind.VERIFY_RESTORED)
    assert result.complete
    opened = len(world.sealed_under(world.current_key)) + len(world.sealed_under(world.old_key))
    assert int(result.values["opened"]) == opened
    assert stage.look(OPEN).state is CheckState.FAILED  # the generated tokens have broken ones
    told = stage.capture(CaptureKind.VERIFICATION)
    assert (told["database"], told["tokens"], told["tried"]) == ("restored", number, number)
    assert told["began_at"]
    assert told["seconds"] >= 0
    census = next(text_ for kind, text_ in stage.kept if kind == "census")
    assert f'"plaintext": {world.by_format[Format.PLAINTEXT]}' in census
    assert '"newest_rows": {"confluence_connection"' in census or '"gh_connection"' in census
    with superuser.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM keydeck.key_answer")) == 0
    stage.run(ActionKind.VERIFY_RESTORED, {"sample": 10})
    sampled = stage.capture(CaptureKind.VERIFICATION)
    assert 10 <= sampled["tried"] <= 10 + len(world.by_column)
    with pytest.raises(SettingsError):
        stage.about(database="other").plan(ActionKind.VERIFY_RESTORED)
    assert stage.look(CheckKind.SCOPE_KNOWN).state is CheckState.FAILED
    with pytest.raises(RefusedError, match="not about a restored database"):
        stage.about("gh_connection:gh-1").plan(ActionKind.VERIFY_RESTORED)


def test_a_restored_copy_without_a_register_is_compared_with_nothing_and_says_so(services: Container) -> None:
    services.key_management.__dict__["copy_register"] = NoRegister("There is none here.")
    stage = build(services)
    stage.about(database="restored")
    plan = stage.plan(ActionKind.VERIFY_RESTORED)
    assert "There is none here. Which keys the copy needs shows only as its tokens are opened." in plan.does
    compared = "Not compared with a scan. There is none here."
    assert stage.run(ActionKind.VERIFY_RESTORED, {"sample": 5}).lines[-1] == compared
    (census,) = (content for kind, content in stage.kept if kind == "census")
    assert json.loads(census)["beside_scanned_copy"] == [compared]


def test_the_database_in_use_is_no_restored_one(stage: Stage) -> None:
    container = stage.container
    url = container.engine.url.render_as_string(hide_password=False)
    with (
        pytest.raises(RefusedError, match="the database in use"),
        restored_at(url, container.keyring, in_use=container.engine),
    ):
        pass


def _down(name: str) -> tuple[str, ...]:
    raise KmsUnreachableError("no answer")


def test_a_replica_is_asked_itself(stage: Stage, sandbox: Sandbox, platform: Engine, world: World) -> None:
    kms = sandbox.client("kms")
    key = str(kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"])
    v1 = TokenCipher(stage.container.keyring.trusting(key)).encrypt("ghp_" + "r" * 36, key).stored
    connect_github(platform, "gh-replicated-1", v1)
    ref = TokenRef("gh_connection", "access_token", "gh-replicated-2")
    v2 = TokenCipher(stage.container.keyring.trusting(key), write_format=Format.V2)
    connect_github(platform, ref.row_id, v2.encrypt("ghp_" + "s" * 36, key, ref=ref).stored)
    stage.about(key=key)
    answers = CheckKind.REPLICA_ANSWERS
    assert stage.look(answers).state is CheckState.NOT_YET
    kms.replicate_key(KeyId=key.rpartition("/")[2], ReplicaRegion="us-east-1")
    seen = stage.look(answers)
    assert (seen.state, seen.lines) == (CheckState.PASSED, ("us-east-1: opened 2 tokens.",))
    # The key's own Region is down: which replicas there are, nobody says; those that could be are asked.
    away = replace(
        stage.parts, keys=SimpleNamespace(replicas=_down), regions=lambda: ("eu-west-1", "us-east-1")
    )
    assert token_tools(away, stage.open_restored).checks[answers](stage.situation()).passed
    assert stage.about(key=world.old_key.arn).look(answers).state is CheckState.FAILED
