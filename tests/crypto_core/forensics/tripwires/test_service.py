"""Decoys on the sandbox's PostgreSQL and KMS: added, left out of every count, and taken away again."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.database.tokens.store import TokenScope
from crypto_core.envelope import Format
from crypto_core.forensics.tripwires.plan import AddRequest
from crypto_core.forensics.tripwires.service import Tripwires
from crypto_core.guard.consent import Consent
from crypto_core.lists.paging import Query
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import RefusedError, RowVanishedError
from crypto_core.values.references import parse_reference
from tests.crypto_core.forensics.tripwires.conftest import added, let_add_rows, opened_under, tripwires_of


def rows(engine: Engine, table: str = "gh_connection") -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return sorted(map(tuple, connection.execute(text(f"SELECT CAST(t AS text) FROM {table} t"))))


def test_a_tripwire_is_added_is_left_out_of_every_count_and_goes_without_a_trace(
    tripwires: Tripwires, services: Container, sandbox: Sandbox, superuser: Engine
) -> None:
    before, whole = services.status.take_census(), rows(superuser)
    result = added(tripwires, count=3)
    (state,) = tripwires.states()
    assert state == result.state
    assert (result.number, state.stands, len(state.refs), state.format) == (1, True, 3, Format.V1)
    refs = [parse_reference(ref) for ref in state.refs]

    after = services.status.take_census()
    assert (after.tokens, after.protected, after.by_format) == (
        before.tokens,
        before.protected,
        before.by_format,
    )
    assert [(k.key_arn, k.tokens) for k in after.keys] == [(k.key_arn, k.tokens) for k in before.keys]
    assert after.coverage == before.coverage
    assert (len(after.decoys.standing), after.decoys.tokens >= 3, after.decoys.gone) == (3, True, ())
    assert after.as_json()["decoys"]["rows"] == 3
    assert services.status.prove().tokens_under(state.key_arn) == 0

    listed = services.inventory.page(Query(""), limit=500).rows
    assert {row.ref for row in listed if row.tripwire == 1} >= set(refs)
    assert {row.key_arn for row in listed if row.tripwire} == {state.key_arn}
    assert services.inventory.tokens("") == before.tokens
    assert not any(ref in page for page in services.inventory.references("") for ref in refs)
    assert services.inspector.inspect_token(listed[[r.tripwire for r in listed].index(1)].ref).wrapped_by
    with pytest.raises(RowVanishedError, match="decoy of tripwire 1"):
        services.store.read_token(refs[0])
    planned = services.services.work.plan_reencryption(Verb.REENCRYPT, Selection((refs[0],)), state.key_arn)
    assert "decoy of tripwire 1" in planned.refused[0].reason
    assert not set(refs) & {t.ref for page in services.store.pages(TokenScope()) for t in page}
    services.tokens.verifier.verify_selection(Selection())
    assert opened_under(sandbox, state.key_arn) == []

    plan = tripwires.plan_remove(1)
    assert sorted(plan.refs) == sorted(state.refs)
    assert tripwires.remove(plan, Consent.by_option(plan)).state is None
    assert rows(superuser) == whole
    assert tripwires.states() == ()
    last = services.status.take_census()
    assert (last.tokens, last.decoys.as_json()) == (before.tokens, {"rows": 0, "tokens": 0, "gone": 0})
    assert services.journal.verify() is None


def test_what_is_no_decoy_any_more_counts_as_a_token_and_so_does_another_under_the_key(
    tripwires: Tripwires, services: Container, superuser: Engine, world: World
) -> None:
    before = services.status.take_census().tokens
    (ref,) = ((state := added(tripwires).state) and state.refs) or ()
    decoy = parse_reference(ref)
    with superuser.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO gh_connection SELECT id || '-copy', org_id, user_id, access_token, NULL, "
                "token_type, installation_id, expires_at, scopes, created_at "
                "FROM gh_connection WHERE id = :id"
            ),
            {"id": decoy.row_id},
        )
    assert services.status.take_census().tokens == before + 1
    with superuser.begin() as connection:
        connection.execute(
            text("UPDATE gh_connection SET access_token = 'ghp_x', org_id = 'o' WHERE id = :id"),
            {"id": decoy.row_id},
        )
    status = services.status.take_census()
    assert status.tokens >= before + 2
    assert "Tripwire 1: 1 decoy gone, or changed since" in [p.title for p in status.problems]
    assert tripwires.states()[0].gone == (ref,)
    plan = tripwires.plan_remove(1)
    assert plan.changed == (ref,)
    with pytest.raises(RefusedError, match="not as it was made"):
        tripwires.remove(plan, Consent.by_option(plan))
    with superuser.begin() as connection:
        connection.execute(text("DELETE FROM gh_connection WHERE id = :id"), {"id": decoy.row_id})
    plan = tripwires.plan_remove(1)
    assert (plan.gone, plan.refs, plan.changed) == (1, (), ())
    assert tripwires.remove(plan, Consent.by_option(plan)).state is None


def test_nothing_in_the_database_but_the_sealed_list_tells_a_decoy(
    tripwires: Tripwires, services: Container, superuser: Engine
) -> None:
    state = added(tripwires, count=2, given=(("org_id", "org-nobody"),)).state
    assert state is not None
    plan = tripwires.plan_remove(1)
    services.status.take_census()
    told = ""
    with superuser.connect() as connection:
        for name in connection.scalars(
            text(
                "SELECT relname FROM pg_class WHERE relnamespace = 'keydeck'::regnamespace AND relkind = 'r'"
            )
        ).all():
            told += "\n".join(connection.scalars(text(f"SELECT CAST(t AS text) FROM keydeck.{name} t")).all())
    rows_ = [str(parse_reference(ref).row_id) for ref in state.refs]
    assert len(plan.refs) == 2
    for secret in (*state.refs, state.key_arn, "org-nobody", *(f'"{row}"' for row in rows_)):
        assert secret not in told
    entries = [e for e in services.journal.entries() if e.action.startswith("tripwire")]
    assert {e.outcome for e in entries} == {"dry run", "started", "done"}
    assert json.loads(entries[-2].detail)["tripwire"] == 1


def test_a_list_that_is_not_keydecks_or_cannot_be_opened_is_told_and_hides_no_token(
    tripwires: Tripwires, services: Container, superuser: Engine, sandbox: Sandbox, world: World
) -> None:
    added(tripwires)
    with superuser.begin() as connection:
        connection.execute(text("UPDATE keydeck.tripwire SET document = 'djJ8' || document"))
    fresh = Container(services.settings)
    try:
        status = fresh.status.take_census()
        assert "it is not the one that the journal has" in " ".join(status.coverage.reasons).lower()
        assert status.decoys.tokens == 0
        with pytest.raises(RefusedError, match="outside Keydeck"):
            tripwires.states()
    finally:
        fresh.close()
    with superuser.begin() as connection:
        connection.execute(text("UPDATE keydeck.tripwire SET document = substr(document, 5)"))
    sandbox.control.set_key_state(world.current_key.arn, "Disabled")
    fresh = Container(services.settings)
    try:
        catalogue = fresh.catalogue.refresh()
        assert "The list of tripwires can't be read" in " ".join(catalogue.gaps)
    finally:
        fresh.close()


def test_what_a_decoy_is_made_of_looks_like_the_others(
    tripwires: Tripwires, services: Container, superuser: Engine, world: World
) -> None:
    state = added(tripwires, count=8).state
    assert state is not None
    jira = added(tripwires, "jira_connection", key=state.key_arn, new_key=False).state
    assert jira is not None
    assert jira.key_arn == state.key_arn
    with superuser.connect() as connection:
        columns = "org_id, token_type, length(access_token), scopes::text, installation_id IS NULL"
        every = connection.execute(text(f"SELECT id, {columns} FROM gh_connection")).all()
    decoys = {parse_reference(ref).row_id for ref in state.refs}
    real = [row for row in every if row.id not in decoys]
    for place in range(1, 6):
        seen = {row[place] for row in real}
        assert {row[place] for row in every if row.id in decoys} <= seen
    assert all(row_id.startswith("gh-") for row_id in decoys)


def test_v2_decoys_stand_under_the_key_that_is_written_under_and_count_apart(
    tripwires: Tripwires, services: Container, world: World
) -> None:
    plan = tripwires.plan_add(AddRequest("gh_connection", format="v2"))
    assert plan.key_arn == world.current_key.arn
    assert any("stands out" in warning for warning in plan.warnings)
    before = services.status.take_census()
    tripwires.add(plan, Consent.by_option(plan))
    after = services.status.take_census()
    assert after.by_format == before.by_format
    assert after.decoys.tokens > 0


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (AddRequest("gh_connection"), "needs a key of its own"),
        (AddRequest("gh_connection", key="KEY"), "would trip the wire"),
        (AddRequest("gh_connection", key="KEY", new_key=True), "not both"),
        (AddRequest("gh_connection", count=0, new_key=True), "not a valid number"),
        (AddRequest("connectors", new_key=True), "no text column"),
        (AddRequest("gh_connection", new_key=True, given=(("id", "1"),)), "can't be given"),
        (AddRequest("gh_connection", new_key=True, given=(("no\x1b[31m", "1"),)), "has no column"),
    ],
)
def test_what_cannot_be_a_decoy_is_refused(
    tripwires: Tripwires, world: World, request_: AddRequest, said: str
) -> None:
    named = AddRequest(
        request_.table,
        request_.count,
        request_.key and world.current_key.arn,
        request_.new_key,
        given=request_.given,
    )
    with pytest.raises(RefusedError, match=said) as refused:
        tripwires.plan_add(named)
    assert "\x1b" not in str(refused.value)


def test_a_trusted_key_is_none_for_v1_decoys_in_whatever_form_it_is_named(
    services: Container, superuser: Engine, new_key: Callable[[], str]
) -> None:
    let_add_rows(superuser)
    key_arn = new_key()
    services.keyring.trust(key_arn.rsplit("/", 1)[-1])
    with pytest.raises(RefusedError, match="would trip the wire"):
        tripwires_of(services).plan_add(AddRequest("gh_connection", key=key_arn))


def test_without_the_grants_the_plan_names_them(services: Container) -> None:
    with pytest.raises(RefusedError) as refused:
        tripwires_of(services).plan_add(AddRequest("gh_connection", new_key=True))
    assert "GRANT INSERT, DELETE ON public.gh_connection TO operator" in str(refused.value)


def test_code_that_others_attached_to_the_table_is_named_in_the_plan(
    tripwires: Tripwires, superuser: Engine
) -> None:
    function = "CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
    trigger = "CREATE TRIGGER touched BEFORE INSERT ON gh_connection FOR EACH ROW EXECUTE FUNCTION touch()"
    with superuser.begin() as connection:
        connection.exec_driver_sql(f"{function};\n{trigger}")
    plan = tripwires.plan_add(AddRequest("gh_connection", 1, "", False, "v2"))
    assert plan.unagreed == ("public.touch()",)
