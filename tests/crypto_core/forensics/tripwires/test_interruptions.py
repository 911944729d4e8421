"""Tripwires while others work, or when something ends it in between: no decoy is left that nobody knows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.forensics.services import ForensicsServices
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.forensics.tripwires.plan import AddRequest
from crypto_core.forensics.tripwires.service import Tripwires
from crypto_core.guard.consent import Consent
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import ApprovalNeededError, ChangedByDatabaseError, DatabaseError, RefusedError
from crypto_core.values.references import parse_reference
from tests.crypto_core.forensics.tripwires.conftest import added, opened_under, tripwires_of
from tests.crypto_core.second_person import SecondPerson

HOSTILE = "[/red]\x1b]0;x\x07\u202e' OR 1=1; --:x %(a)s " + "y" * 2_000

_KILLED = """
import os, signal
from console.container import Container
from console.settings import load
from tests.crypto_core.forensics.tripwires.conftest import added, tripwires_of

added(tripwires_of(Container(load().settings), pause=lambda _: os.kill(os.getpid(), signal.SIGKILL)))
"""


def connections(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM gh_connection")) or 0)


@pytest.mark.deep
def test_killed_before_its_rows_a_tripwire_is_told_and_cleared(
    tripwires: Tripwires, services: Container, superuser: Engine
) -> None:
    before = connections(superuser)
    process = subprocess.run([sys.executable, "-c", _KILLED], env=os.environ, check=False, timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert connections(superuser) == before
    (state,) = tripwires.states()
    assert state.gone == state.refs
    assert not state.stands
    assert services.status.take_census().decoys.as_json() == {"rows": 0, "tokens": 0, "gone": 1}
    plan = tripwires.plan_remove(1)
    tripwires.remove(plan, Consent.by_option(plan))
    assert tripwires.states() == ()
    assert added(tripwires).number == 2


def test_what_the_database_refuses_or_changes_leaves_neither_row_nor_entry(
    tripwires: Tripwires, superuser: Engine
) -> None:
    before = connections(superuser)
    with superuser.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN NEW.user_id := upper(NEW.user_id) || '!'; RETURN NEW; END $$"
            )
        )
        connection.execute(
            text("CREATE TRIGGER shout BEFORE INSERT ON gh_connection FOR EACH ROW EXECUTE FUNCTION shout()")
        )
    plan = tripwires.plan_add(AddRequest("gh_connection", new_key=True))
    assert "Trigger shout runs for a new or a removed row." in plan.warnings
    with pytest.raises(ChangedByDatabaseError, match="another row than it was given"):
        tripwires.add(plan, Consent.by_option(plan, plan.unagreed))
    with superuser.begin() as connection:
        connection.execute(text("DROP TRIGGER shout ON gh_connection"))
        connection.execute(
            text("ALTER TABLE gh_connection ADD CONSTRAINT old CHECK (user_id <> 'x') NOT VALID")
        )
    with pytest.raises(DatabaseError):
        added(tripwires, given=(("user_id", "x"),))
    assert (connections(superuser), tripwires.states()) == (before, ())


@pytest.mark.deep
def test_tripwires_that_are_added_and_removed_at_once_are_all_there_or_all_gone(
    tripwires: Tripwires, services: Container, superuser: Engine, sandbox: Sandbox
) -> None:
    key = added(tripwires).state
    assert key is not None
    before = services.status.take_census().tokens
    tables = ("gh_connection", "jira_connection", "gh_connection")

    def one(table: str) -> int | None:
        return added(tripwires_of(services), table, key=key.key_arn, new_key=False).number

    with ThreadPoolExecutor(3) as pool:
        numbers = sorted(filter(None, pool.map(one, tables)))
    assert numbers == [2, 3, 4]
    assert [state.stands for state in tripwires.states()] == [True] * 4

    def other(number: int) -> None:
        plan = tripwires.plan_remove(number)
        tripwires.remove(plan, Consent.by_option(plan))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(other, (1, 2, 3, 4)))
    assert tripwires.states() == ()
    status = services.status.take_census()
    assert (status.tokens, status.decoys.as_json()["gone"]) == (before, 0)
    assert opened_under(sandbox, key.key_arn) == []


def test_while_a_job_runs_no_decoy_is_added(tripwires: Tripwires, services: Container, world: World) -> None:
    refs = Selection(tuple(world.sealed_under(world.old_key)[:1]))
    plan = services.tokens.jobs.plan_job(Verb.REENCRYPT, refs, world.current_key.arn, JobOptions())
    services.tokens.jobs.start_job(plan, Consent.by_option(plan))
    with pytest.raises(RefusedError, match="is running"):
        tripwires.plan_add(AddRequest("gh_connection", new_key=True))


@pytest.mark.deep
def test_a_job_over_all_tokens_and_whatever_looks_for_tokens_trips_no_wire(
    tripwires: Tripwires, services: Container, sandbox: Sandbox, world: World
) -> None:
    state = added(tripwires, count=2).state
    assert state is not None
    fresh = Container(services.settings)
    try:
        plan = fresh.tokens.jobs.plan_job(
            Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn, JobOptions()
        )
        job = fresh.tokens.jobs.start_job(plan, Consent.by_option(plan))
        assert fresh.tokens.jobs.join_job(job).done
        fresh.status.take_census()
        fresh.status.prove(about=world.old_key.arn)
        fresh.status.find_copies()
        fresh.tokens.verifier.verify_selection(Selection())
        assert fresh.of(ForensicsServices).token_search is not None
        assert all(one.stands for one in tripwires.states())
    finally:
        fresh.close()
    assert opened_under(sandbox, state.key_arn) == []


def test_a_second_person_sees_a_plan_that_tells_no_decoy(
    services: Container, superuser: Engine, tripwires: Tripwires
) -> None:
    second = SecondPerson()
    asking = tripwires_of(services, approvals=second)
    plan = asking.plan_add(AddRequest("gh_connection", new_key=True, given=(("org_id", "org-nobody"),)))
    with pytest.raises(ApprovalNeededError):
        asking.add(plan, Consent.by_option(plan))
    assert "org-nobody" not in str(second.shown)
    assert tripwires.states() == ()
    second.approved.add(plan.digest)
    assert asking.add(plan, Consent.by_option(plan)).number == 1
    removal = asking.plan_remove(1)
    with pytest.raises(ApprovalNeededError):
        asking.remove(removal, Consent.by_option(removal))
    assert not any(ref in str(second.shown) for ref in removal.refs)


def test_hostile_values_in_a_row_are_data(
    tripwires: Tripwires, services: Container, superuser: Engine
) -> None:
    with superuser.begin() as connection:
        connection.execute(
            text("UPDATE gh_connection SET user_id = :hostile, org_id = :hostile"), {"hostile": HOSTILE}
        )
        connection.execute(text('ALTER TABLE gh_connection ADD COLUMN "a:b ""c%s" text DEFAULT \'d\''))
        connection.execute(text("GRANT SELECT, INSERT ON gh_connection TO operator"))
    plan = tripwires.plan_add(AddRequest("gh_connection", new_key=True, given=(("org_id", HOSTILE),)))
    assert not set("\x1b\x07\u202e") & set("".join((*plan.columns, *plan.columns.values())))
    state = tripwires.add(plan, Consent.by_option(plan)).state
    assert state is not None
    assert state.stands
    removal = tripwires.plan_remove(1)
    assert tripwires.remove(removal, Consent.by_option(removal)).state is None


@pytest.mark.parametrize("name", ["slack_connection", "confluence_connection"])
def test_numbers_come_from_the_tables_own_sequence(
    name: str, tripwires: Tripwires, services: Container, superuser: Engine, world: World
) -> None:
    column = {"slack_connection": "bot_token", "confluence_connection": "access_token"}[name]
    with superuser.begin() as connection:
        sealed = "(SELECT access_token FROM gh_connection WHERE access_token LIKE 'djF8%' LIMIT 1)"
        connection.execute(text(f"UPDATE {name} SET {column} = {sealed}"))
        last = int(connection.scalar(text(f"SELECT max(id) FROM {name}")) or 0)
    state = added(tripwires, name).state
    assert state is not None
    assert int(state.refs[0].rsplit(":", 1)[1]) > last


def test_no_decoy_is_sent_to_a_provider(tripwires: Tripwires, services: Container, sandbox: Sandbox) -> None:
    state = added(tripwires).state
    assert state is not None
    ref = parse_reference(state.refs[0])
    with pytest.raises(RefusedError, match="is sent to no provider"):
        services.tokens.providers.plan_revocation((ref,))
    assert opened_under(sandbox, state.key_arn) == []
