"""Planning: how many tokens, where, at what cost, and what is left out and why."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.endpoint import Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.envelope import Format
from crypto_core.guard.consent import Consent
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.references import RowRef, TokenRef
from tests.crypto_core.reencryption.running.runs import MakePlan, everything


def test_a_plan_tells_how_many_tokens_where_and_at_what_cost(
    plan: MakePlan, world: World, platform: Engine
) -> None:
    before = everything(platform)
    made = plan(Verb.ENCRYPT, Selection(unprotected=True), world.current_key.alias)
    expected = {
        column: formats.get(Format.PLAINTEXT, 0) + formats.get(Format.DEV, 0)
        for column, formats in world.by_column.items()
    }
    assert dict(made.by_column) == {c: n for c, n in expected.items() if n}
    assert made.tokens == sum(expected.values())
    assert made.kms_calls == 2 * made.tokens
    assert (made.target_key_arn, made.target_name) == (world.current_key.arn, world.current_key.alias)
    assert (made.refused, made.warnings, made.coverage.complete) == ((), (), True)
    document = made.as_json()
    assert (document["dry_run"], document["tokens"], document["to"]) == (
        True,
        made.tokens,
        made.target_key_arn,
    )
    assert everything(platform) == before


@pytest.mark.parametrize("verb", [Verb.REWRAP, Verb.REENCRYPT])
def test_the_cost_of_moving_a_key_is_told(plan: MakePlan, world: World, verb: Verb) -> None:
    made = plan(verb, Selection(under_key=world.old_key.arn), world.current_key.arn)
    assert made.tokens >= len(world.sealed_under(world.old_key))
    assert made.kms_calls == made.tokens * 2
    assert made.source_key_arn == world.old_key.arn


@pytest.mark.quick(1)
@pytest.mark.parametrize("name", ["arn", "key_id", "alias"])
def test_the_source_may_be_named_by_any_of_its_names(plan: MakePlan, world: World, name: str) -> None:
    made = plan(Verb.REENCRYPT, Selection(under_key=getattr(world.old_key, name)), world.current_key.arn)
    assert made.source_key_arn == world.old_key.arn
    assert made.tokens >= len(world.sealed_under(world.old_key))


def test_what_a_verb_does_not_take_is_told_token_by_token(plan: MakePlan, world: World) -> None:
    by_format = {
        f: next(r for r, t in world.tokens.items() if t.format is f) for f in Format if not f.binds_row
    }
    selection = Selection((*by_format.values(), TokenRef("gh_connection", "access_token", "gh-none")))
    made = plan(Verb.REENCRYPT, selection, world.current_key.arn)
    reasons = {u.reference: u.reason for u in made.refused}
    assert made.tokens == 1
    assert len(reasons) == 5
    assert "encrypt it in place" in reasons[str(by_format[Format.PLAINTEXT])]
    assert "dev format" in reasons[str(by_format[Format.DEV])]
    assert "not recognised" in reasons[str(by_format[Format.UNRECOGNISED])]
    assert "empty" in reasons[str(by_format[Format.EMPTY])]
    assert "no such row" in reasons["gh_connection.access_token:gh-none"]
    encrypting = plan(Verb.ENCRYPT, selection, world.current_key.arn)
    assert encrypting.tokens == 2
    assert (
        "an envelope already"
        in {u.reference: u.reason for u in encrypting.refused}[str(by_format[Format.V1])]
    )


def test_a_reference_named_twice_is_one_token(plan: MakePlan, world: World) -> None:
    ref = next(r for r in world.sealed_under(world.old_key) if r.table == "slack_connection")
    row = RowRef(ref.table, ref.row_id)
    assert plan(Verb.REENCRYPT, Selection((ref, row, ref)), world.current_key.arn).tokens == 1


def test_a_plan_of_nothing_is_a_plan(plan: MakePlan, services: Container, world: World) -> None:
    made = plan(Verb.ENCRYPT, Selection((world.sealed_under(world.old_key)[0],)), world.current_key.arn)
    assert (made.tokens, len(made.refused)) == (0, 1)
    result = services.services.work.run_plan(made, Consent.by_option(made))
    assert (result.done, result.kms_calls) == (0, 0)


def test_gaps_of_the_attribution_are_part_of_the_plan(plan: MakePlan, sandbox: Sandbox, world: World) -> None:
    sandbox.control.add_fault(Fault("Decrypt", "KMSInternalException"))
    made = plan(Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    sandbox.control.clear()
    assert made.tokens == 0
    assert not made.coverage.complete
