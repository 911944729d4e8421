"""Planning: tokens that a filter selects are listed, left out, written and counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core.guard.consent import Consent
from crypto_core.lists.paging import Query
from crypto_core.reencryption.plan import Plan, Selection, Verb
from crypto_core.values.errors import InvalidFilterError, RefusedError
from crypto_core.values.references import TokenRef
from tests.crypto_core.reencryption.running.runs import MakePlan


def planned(plan: Plan) -> set[TokenRef]:
    assert plan.scope.references is not None
    return set(plan.scope.references)


def test_a_filter_selects_what_it_lets_through_and_the_plan_lists_it(
    services: Container, plan: MakePlan, world: World
) -> None:
    selection = Selection(filter="provider:slack format:plaintext")
    assert str(selection) == 'every token that "provider:slack format:plaintext" lets through'
    made = plan(Verb.ENCRYPT, selection, world.current_key.arn)
    expected = {
        row.ref
        for row in services.services.inventory.page(Query("provider:slack format:plaintext"), limit=1000).rows
    }
    assert planned(made) == expected
    assert made.tokens == len(expected) == made.by_column["slack_connection.bot_token"]
    assert made.refused == ()


def test_tokens_of_a_filter_that_the_verb_does_not_take_are_refused_one_by_one(
    services: Container, plan: MakePlan, world: World
) -> None:
    made = plan(Verb.REENCRYPT, Selection(filter="table:slack_connection"), world.current_key.arn)
    rows = services.services.inventory.page(Query("table:slack_connection"), limit=1000).rows
    assert planned(made) == {row.ref for row in rows if row.format.protected}
    assert {u.reference for u in made.refused} == {str(row.ref) for row in rows if not row.format.protected}
    assert made.tokens + len(made.refused) == len(rows)


def test_tokens_that_a_filter_is_not_meant_for_are_left_alone(
    services: Container, plan: MakePlan, world: World
) -> None:
    whole = plan(Verb.REENCRYPT, Selection(filter="format:v1"), world.old_key.arn)
    left_out = tuple(sorted(planned(whole))[:3])
    selection = Selection(filter="format:v1", except_for=left_out)
    assert str(selection) == 'every token that "format:v1" lets through but for 3 tokens'
    assert planned(plan(Verb.REENCRYPT, selection, world.old_key.arn)) == planned(whole) - set(left_out)
    verified = services.services.work.verify_tokens(selection)
    assert {v.ref for v in verified} == planned(whole) - set(left_out)


def test_a_run_of_a_filter_writes_what_its_plan_lists_and_nothing_that_came_later(
    services: Container, plan: MakePlan, world: World, platform: Engine, stored: Callable[..., str]
) -> None:
    made = plan(Verb.ENCRYPT, Selection(filter="provider:slack format:plaintext"), world.current_key.arn)
    later = next(ref for ref in world.tokens if ref.table == "slack_connection" and ref not in planned(made))
    with platform.begin() as connection:
        connection.execute(
            text("UPDATE slack_connection SET bot_token = 'xoxb-late' WHERE id = :id"),
            {"id": int(later.row_id)},
        )
    result = services.services.work.run_plan(made, Consent.by_option(made))
    assert result.done == made.tokens
    assert stored(later) == "xoxb-late"
    assert all(stored(ref).startswith("djF8") for ref in planned(made))


def test_a_filter_that_lets_too_many_through_is_refused_with_what_takes_more(
    services: Container, plan: MakePlan, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crypto_core.reencryption.filter_selection.MOST", 10)
    with pytest.raises(RefusedError, match=f"lets {len(world.tokens)} tokens through; at most 10") as caught:
        plan(Verb.REENCRYPT, Selection(filter=""), world.current_key.arn)
    assert "keydeck reencrypt --from KEY or --all" in caught.value.remedy
    with pytest.raises(RefusedError, match="at most 10") as caught:
        services.services.work.verify_tokens(Selection(filter="table:gh_connection"))
    assert "keydeck verify --all" in caught.value.remedy


def test_a_wrong_filter_is_refused_before_anything(plan: MakePlan, world: World) -> None:
    with pytest.raises(InvalidFilterError) as caught:
        plan(Verb.REENCRYPT, Selection(filter="format:v9"), world.current_key.arn)
    assert caught.value.position == 7


def test_many_references_are_written_page_by_page(services: Container, plan: MakePlan, world: World) -> None:
    """In the order of the ids, each page asking for its own alone."""
    made = plan(Verb.REENCRYPT, Selection(filter="format:v1"), world.old_key.arn)
    pages = list(services.store.pages(made.scope, size=7))
    assert [len(p) for p in pages if len(p) > 7] == []
    assert {t.ref for page in pages for t in page} == planned(made)
