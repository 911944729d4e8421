"""Guards on the sandbox's PostgreSQL: what is planned, added, validated, refused, changed and removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from console.container import Container
from console.sandbox.postgres import PLATFORM
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.database.column_guards import service as guard_service
from crypto_core.database.column_guards.check_expression import check_expression
from crypto_core.database.column_guards.model import GuardState, constraint_name
from crypto_core.database.column_guards.plan import GuardRequest, GuardResult, StepKind, script
from crypto_core.database.column_guards.service import ColumnGuardService
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.envelope import Format
from crypto_core.guard.consent import Consent, Danger
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import InvalidReferenceError, NotConfirmedError, RefusedError
from crypto_core.values.references import TokenRef
from tests.crypto_core.database.column_guards.conftest import hand_over
from tests.crypto_core.database.column_guards.test_check_expression import BROKEN, READ, v1, v2
from tests.crypto_core.database.tokens.test_secrets_columns import add, replace_all, sealed
from tests.crypto_core.statements import execute, scalar

REFRESH = ("gh_connection.refresh_token", "jira_connection.refresh_token")
SLACK = "slack_connection.bot_token"
PLAINTEXT = "xoxb-1-2-KEYDECKDEMO"


def applied(guards: ColumnGuardService, *columns: str, **more: object) -> GuardResult:
    plan = guards.plan_guard(GuardRequest(columns=columns, **more))  # type: ignore[arg-type]
    return guards.change_guards(plan, Consent.by_option(plan))


def states(guards: ColumnGuardService) -> dict[str, GuardState]:
    return {str(one.guard.column): one.guard.state for one in guards.survey()}


def journaled(services: Container) -> list[str]:
    return [entry.outcome for entry in services.journal.entries() if entry.action == "guard"]


def set_token(platform: Engine, value: str | None, row: str = "(SELECT min(id) FROM gh_connection)") -> None:
    execute(platform, f"UPDATE gh_connection SET refresh_token = :value WHERE id = {row}", value=value)


def of_tables(
    services: Container, *tables: TokenTable, write_format: Format = Format.V1
) -> ColumnGuardService:
    return ColumnGuardService(
        *(services.engine, LiveCatalogue(services.engine, tables), services.journal),
        write_format=write_format,
        read_only=False,
    )


@pytest.mark.parametrize("column", ["token", "t" * 45, "t" * 46, "t" * 63, "ü" * 31, 'a"b', "%(x)s"])
def test_a_constraint_has_a_name_of_its_own_that_postgresql_keeps_whole(column: str) -> None:
    name = constraint_name(column)
    assert len(name.encode()) <= 63
    assert name == constraint_name(column) != constraint_name(f"{column[:-1]}z")
    assert name.startswith("keydeck_envelopes_")


def test_by_default_only_columns_are_guarded_where_nothing_is_refused(
    guards: ColumnGuardService, services: Container
) -> None:
    plan = guards.plan_guard(GuardRequest())
    assert [(str(step.column), step.kind, step.validates) for step in plan.steps] == [
        (column, StepKind.ADD, True) for column in REFRESH
    ]
    assert plan.danger is Danger.CONFIRM
    left = {str(one.column): one.reason for one in plan.left_out}
    assert set(left) == set(states(guards)) - set(REFRESH)
    assert "would be refused" in left[SLACK]
    assert "--all" in left[SLACK]
    assert any("log_error_verbosity" in warning for warning in plan.warnings)
    result = guards.change_guards(plan, Consent.pressed(plan))
    assert result.done
    assert {c: s for c, s in states(guards).items() if s is not GuardState.MISSING} == dict.fromkeys(
        REFRESH, GuardState.VALIDATED
    )
    assert journaled(services) == ["dry run", "started", "done"]
    assert services.journal.verify() is None
    assert guards.plan_guard(GuardRequest(columns=REFRESH)).danger is Danger.NONE


def test_the_platform_can_write_envelopes_and_nothing_else(
    guards: ColumnGuardService, platform: Engine
) -> None:
    assert applied(guards).done
    for value in (*READ, None):
        set_token(platform, value)
    for value in BROKEN:
        with pytest.raises(IntegrityError, match="keydeck_envelopes_refresh_token"):
            set_token(platform, value)


def test_the_log_holds_what_was_refused_unless_it_is_terse(
    guards: ColumnGuardService, platform: Engine, superuser: Engine, sandbox: Sandbox
) -> None:
    assert applied(guards).done

    log = sandbox.postgres._cluster

    def logged(verbosity: str, statements: str) -> str:
        role = f"ALTER ROLE {PLATFORM} IN DATABASE {superuser.url.database}"
        execute(
            superuser,
            f"{role} SET log_error_verbosity = '{verbosity}'",
            f"{role} SET log_min_error_statement = {statements}",
        )
        platform.dispose()
        since = log.said()
        with pytest.raises(IntegrityError):
            set_token(platform, PLAINTEXT)
        return log.last_words(since)

    assert PLAINTEXT in logged("default", "panic")
    assert PLAINTEXT in logged("terse", "error")
    said = logged("terse", "panic")
    assert ("keydeck_envelopes_refresh_token" in said, PLAINTEXT in said) == (True, False)


@pytest.mark.deep
def test_with_all_what_is_there_stays_and_nothing_new_comes_until_it_is_clean(
    guards: ColumnGuardService, services: Container, platform: Engine, world: World
) -> None:
    plan = guards.plan_guard(GuardRequest(columns=(SLACK,), everything=True))
    (step,) = plan.steps
    assert (plan.danger, plan.confirmation, step.validates) == (Danger.TYPED, "1", False)
    assert step.refused
    with pytest.raises(NotConfirmedError):
        guards.change_guards(plan, Consent.pressed(plan))
    assert guards.change_guards(plan, Consent.typed(plan, "1")).done
    assert states(guards)[SLACK] is GuardState.NOT_VALIDATED
    row = scalar(platform, "SELECT min(id) FROM slack_connection WHERE bot_token LIKE 'xoxb-%'")
    for changed in ("team_id = 'T1'", f"bot_token = '{PLAINTEXT}'"):
        with pytest.raises(IntegrityError), platform.begin() as connection:
            connection.execute(text(f"UPDATE slack_connection SET {changed} WHERE id = {row}"))
    again = guards.plan_guard(GuardRequest(columns=(SLACK,)))
    assert (again.steps, "Not validated" in again.left_out[0].reason) == ((), True)

    selection = Selection(unprotected=True)
    work = services.tokens.work.plan_reencryption(Verb.ENCRYPT, selection, world.current_key.arn)
    services.tokens.work.run_plan(work, Consent.by_option(work))
    execute(platform, "UPDATE slack_connection SET bot_token = '' WHERE bot_token NOT LIKE 'djF8%'")
    plan = guards.plan_guard(GuardRequest(columns=(SLACK,)))
    assert [step.kind for step in plan.steps] == [StepKind.VALIDATE]
    assert guards.change_guards(plan, Consent.pressed(plan)).done
    assert states(guards)[SLACK] is GuardState.VALIDATED


def test_a_column_that_keydeck_encrypted_in_place_is_left_out_for_who_writes_there_is_not_known(
    guards: ColumnGuardService, services: Container, platform: Engine, world: World
) -> None:
    with platform.begin() as connection:
        connection.execute(text("DELETE FROM slack_connection WHERE bot_token NOT LIKE 'djF8%'"))
        row = connection.scalar(text("SELECT min(id) FROM slack_connection"))
        connection.execute(text(f"UPDATE slack_connection SET bot_token = '{PLAINTEXT}' WHERE id = {row}"))
    selection = Selection((TokenRef("slack_connection", "bot_token", str(row)),))
    work = services.tokens.work.plan_reencryption(Verb.ENCRYPT, selection, world.current_key.arn)
    services.tokens.work.run_plan(work, Consent.by_option(work))
    plan = guards.plan_guard(GuardRequest(columns=(SLACK,)))
    assert (plan.steps, "encrypted tokens in place" in plan.left_out[0].reason) == ((), True)
    plan = guards.plan_guard(GuardRequest(columns=(SLACK,), everything=True))
    assert (plan.danger, plan.steps[0].validates) == (Danger.TYPED, True)


def test_a_column_without_an_envelope_is_left_out_for_who_writes_there_is_not_known(
    guards: ColumnGuardService, platform: Engine
) -> None:
    execute(platform, "DELETE FROM slack_connection")
    plan = guards.plan_guard(GuardRequest(columns=(SLACK,)))
    assert (plan.steps, "No envelope is stored" in plan.left_out[0].reason) == ((), True)


@pytest.mark.parametrize(
    ("default", "refused"), [("'pending'", True), ("md5('1')", True), ("''", False), ("NULL", False)]
)
def test_a_column_with_a_default_that_is_no_token_is_left_out(
    guards: ColumnGuardService, superuser: Engine, default: str, refused: bool
) -> None:
    execute(superuser, f"ALTER TABLE gh_connection ALTER refresh_token SET DEFAULT {default}")
    plan = guards.plan_guard(GuardRequest(columns=REFRESH[:1]))
    assert [("has a default" in left.reason) for left in plan.left_out] == [True] * refused
    assert len(plan.steps) == (not refused)


def test_of_two_who_apply_at_once_both_end_with_the_guards_there(
    guards: ColumnGuardService, services: Container
) -> None:
    plan = guards.plan_guard(GuardRequest())
    other = Container(services.settings)
    with ThreadPoolExecutor(2) as pool:
        both = [
            pool.submit(one.change_guards, plan, Consent.pressed(plan))
            for one in (guards, other.tokens.column_guards)
        ]
        ended = [result.exception() or result.result() for result in both]
    other.close()
    assert any(isinstance(one, GuardResult) and one.done for one in ended)
    assert all(isinstance(one, GuardResult | RefusedError) for one in ended)
    assert {states(guards)[column] for column in REFRESH} == {GuardState.VALIDATED}
    assert services.journal.verify() is None


def test_without_the_journal_columns_are_surveyed_and_left_out(
    guards: ColumnGuardService, superuser: Engine, platform: Engine
) -> None:
    execute(
        superuser,
        "ALTER TABLE keydeck.journal OWNER TO postgres",
        "REVOKE ALL ON keydeck.journal FROM operator",
    )
    plan = guards.draft_plan(GuardRequest(columns=REFRESH))
    assert plan.steps == ()
    assert all("is not known" in left.reason and "journal" in left.reason for left in plan.left_out)


@contextmanager
def holding(engine: Engine, table: str, mode: str) -> Iterator[int]:
    """Hold a lock on a table in another session; gives the process that does."""
    with engine.connect() as connection:
        connection.execute(text(f"LOCK TABLE {table} IN {mode} MODE"))
        yield int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)
        connection.rollback()


def test_a_lock_that_is_held_is_waited_for_two_seconds_and_holds_up_no_other_column(
    guards: ColumnGuardService, services: Container, platform: Engine
) -> None:
    plan = guards.plan_guard(GuardRequest())
    with holding(platform, "gh_connection", "ROW EXCLUSIVE") as process:
        started = time.monotonic()
        result = guards.change_guards(plan, Consent.pressed(plan))
        took = time.monotonic() - started
        locked, done = result.outcomes
        assert (result.done, locked.state, done.state) == (False, GuardState.MISSING, GuardState.VALIDATED)
        assert 2 <= took < 8
        for part in (
            "public.gh_connection is locked",
            f"process {process} of role {PLATFORM}",
            "RowExclusive",
        ):
            assert part in locked.why
    assert journaled(services)[-2:] == ["started", "failed"]
    assert applied(guards, *REFRESH).done


def test_where_only_the_validation_is_locked_out_the_guard_holds_and_the_rest_is_done_later(
    guards: ColumnGuardService, platform: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = guards.plan_guard(GuardRequest(columns=REFRESH[:1]))
    monkeypatch.setattr(guard_service, "transactions", lambda *_: list(_parts(*_))[:1])
    assert not guards.change_guards(plan, Consent.pressed(plan)).done
    monkeypatch.undo()
    with holding(platform, "gh_connection", "SHARE UPDATE EXCLUSIVE"):
        result = applied(guards, *REFRESH[:1])
        assert result.outcomes[0].state is GuardState.NOT_VALIDATED
        assert "is locked" in result.outcomes[0].why
        with pytest.raises(IntegrityError):
            set_token(platform, PLAINTEXT)
    assert applied(guards, *REFRESH[:1]).done


_parts = guard_service.transactions

_KILLED = """
import os, signal
from crypto_core.database.column_guards import service
from console.__main__ import main
made = service.transactions
def once(*given):
    for number, statements in enumerate(made(*given)):
        if number:
            os.kill(os.getpid(), signal.SIGKILL)
        yield statements
service.transactions = once
main(["guard", "--apply", "--yes", "gh_connection.refresh_token"])
"""


@pytest.mark.deep
def test_killed_between_adding_and_validating_the_same_command_goes_on(
    guards: ColumnGuardService, services: Container, environment: dict[str, str], platform: Engine
) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED], env=dict(os.environ), check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert states(guards)[REFRESH[0]] is GuardState.NOT_VALIDATED
    assert journaled(services) == ["dry run", "started"]
    with pytest.raises(IntegrityError):
        set_token(platform, PLAINTEXT)
    plan = guards.plan_guard(GuardRequest(columns=REFRESH[:1]))
    assert [step.kind for step in plan.steps] == [StepKind.VALIDATE]
    assert guards.change_guards(plan, Consent.pressed(plan)).done


def test_interrupted_between_two_columns_the_journal_tells_what_was_tried(
    guards: ColumnGuardService, services: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = guards.plan_guard(GuardRequest())
    made = guard_service.transactions

    def interrupted(step: object, least: Format) -> object:
        if str(step.column) == REFRESH[1]:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        return made(step, least)  # type: ignore[arg-type]

    monkeypatch.setattr(guard_service, "transactions", interrupted)
    with pytest.raises(KeyboardInterrupt):
        guards.change_guards(plan, Consent.pressed(plan))
    (entry,) = [e for e in services.journal.entries() if e.outcome == "interrupted"]
    assert all(column in entry.detail for column in REFRESH)
    assert states(guards)[REFRESH[0]] is GuardState.VALIDATED


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    "changed",
    [
        "CHECK (true)",
        "CHECK (refresh_token <> 'ghp_')",
        "{ours} NOT ENFORCED",
        "{ours} NO INHERIT",
        "CHECK ({condition} OR true)",
        "CHECK (({condition}) OR id = 'x')",
        "CHECK ({condition} IS NOT NULL)",
    ],
)
def test_a_constraint_that_somebody_changed_is_told_and_replaced(
    guards: ColumnGuardService, superuser: Engine, platform: Engine, changed: str
) -> None:
    assert applied(guards, *REFRESH[:1]).done
    name = constraint_name("refresh_token")
    with superuser.begin() as connection:
        ours = connection.scalar(
            text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name"), {"name": name}
        )
        condition = str(ours).removeprefix("CHECK ")
        connection.execute(text(f"ALTER TABLE gh_connection DROP CONSTRAINT {name}"))
        definition = changed.format(ours=ours, condition=condition)
        connection.exec_driver_sql(f"ALTER TABLE gh_connection ADD CONSTRAINT {name} {definition}")
    assert states(guards)[REFRESH[0]] is GuardState.CHANGED
    plan = guards.plan_guard(GuardRequest(columns=REFRESH[:1]))
    assert [step.kind for step in plan.steps] == [StepKind.REPLACE]
    assert guards.change_guards(plan, Consent.pressed(plan)).done
    with pytest.raises(IntegrityError):
        set_token(platform, PLAINTEXT)


def test_a_guard_that_refuses_a_later_format_is_a_guard_and_is_replaced_by_one_that_takes_it(
    guards: ColumnGuardService, superuser: Engine, platform: Engine
) -> None:
    name, bound = constraint_name("refresh_token"), v2(binding="acme")
    (own,) = guards.survey(columns=REFRESH[:1])
    check = check_expression(own.guard.quoted, own.guard.type, Format.V1, newest=Format.V2)
    with superuser.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE gh_connection ADD CONSTRAINT {name} CHECK ({check})")
    assert states(guards)[REFRESH[0]] is GuardState.VALIDATED
    set_token(platform, v2())
    with pytest.raises(IntegrityError):
        set_token(platform, bound)
    plan = guards.plan_guard(GuardRequest(columns=REFRESH[:1]))
    assert [step.kind for step in plan.steps] == [StepKind.REPLACE]
    assert guards.change_guards(plan, Consent.pressed(plan)).done
    set_token(platform, bound)
    assert guards.plan_guard(GuardRequest(columns=REFRESH[:1])).steps == ()


HOSTILE = TokenTable(
    name='he said "stop"; -- %s :x %(y)s',
    id_column='the "id" %',
    id_kind="integer",
    token_columns=('to"ken; -- %s :x', "t" * 63),
    shown=(),
    provider="odd",
)


@pytest.fixture
def hostile(services: Container, superuser: Engine) -> ColumnGuardService:
    """The guards of a table whose names are SQL."""
    table, row_id, *columns = (
        '"' + name.replace('"', '""') + '"'
        for name in (HOSTILE.name, HOSTILE.id_column, *HOSTILE.token_columns)
    )
    made = ", ".join(f"{column} text" for column in columns)
    _run_script(
        superuser,
        [
            f"CREATE TABLE {table} ({row_id} int PRIMARY KEY, {made});",
            f"ALTER TABLE {table} OWNER TO operator;",
            f"INSERT INTO {table} VALUES (1, '{v1()}', '{v1()}')",
        ],
    )
    return of_tables(services, HOSTILE)


def test_names_that_are_sql_are_names(hostile: ColumnGuardService) -> None:
    result = applied(hostile)
    assert (result.done, len(result.outcomes)) == (True, 2)
    assert set(states(hostile).values()) == {GuardState.VALIDATED}
    assert applied(hostile, removes=True).done
    assert set(states(hostile).values()) == {GuardState.MISSING}


def test_a_column_that_is_none_is_named(guards: ColumnGuardService) -> None:
    with pytest.raises(InvalidReferenceError, match=r"gh_connection\.scopes"):
        guards.plan_guard(GuardRequest(columns=("gh_connection.scopes",)))


KINDS = {
    "plain": "text",
    "limited": "varchar(2000)",
    "filled": "char(600)",
    "collated": 'text COLLATE "POSIX"',
    "own": "secret_text",
    "raw": "bytea",
    "document": "json",
    "compact": "jsonb",
}


def test_the_guard_of_a_column_of_any_type_is_known_again(services: Container, superuser: Engine) -> None:
    columns = ", ".join(f"{name} {type_}" for name, type_ in KINDS.items())
    values = ", ".join(f"'{v1()}'" if name not in ("document", "compact") else "'{}'" for name in KINDS)
    execute(
        superuser,
        "CREATE DOMAIN secret_text AS text",
        f"CREATE TABLE kinds (id int PRIMARY KEY, {columns}, other int[])",
        f"INSERT INTO kinds VALUES (1, {values})",
    )
    hand_over(superuser, "kinds")
    documents = frozenset({"document", "compact"})
    table = TokenTable("kinds", "id", "integer", (*KINDS, "other"), (), "odd", documents=documents)
    (unsupported,) = LiveCatalogue(services.engine, (table,))().unsupported
    assert str(unsupported).startswith("kinds.other is not offered: its type is integer[]")
    guards = of_tables(services, table, write_format=Format.V2)
    for least in (Format.V1, Format.V2):
        plan = guards.plan_guard(GuardRequest(least=least, everything=True))
        assert plan.left_out == ()
        assert guards.change_guards(plan, Consent.by_option(plan)).done
        found = {one.guard.column.column: one.guard for one in guards.survey(least)}
        holds = GuardState.VALIDATED if least is Format.V1 else GuardState.NOT_VALIDATED
        for name in KINDS:
            is_clean = least is Format.V1 or name in ("document", "compact")
            assert found[name].state is (GuardState.VALIDATED if is_clean else holds)
            assert found[name].least is least


def test_a_partition_is_guarded_with_its_table(services: Container, superuser: Engine) -> None:
    execute(
        superuser,
        "CREATE TABLE parts (id int PRIMARY KEY, token text) PARTITION BY RANGE (id)",
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100)",
        f"INSERT INTO parts VALUES (1, '{v1()}')",
        "ALTER TABLE parts_1 OWNER TO operator",
    )
    hand_over(superuser, "parts")
    guards = of_tables(services, TokenTable("parts", "id", "integer", ("token",), (), "odd"))
    assert applied(guards).done
    with pytest.raises(IntegrityError), superuser.begin() as connection:
        connection.execute(text("INSERT INTO parts_1 VALUES (2, 'ghp_1')"))


def test_who_does_not_own_the_tables_is_told_who_does_and_what_the_owner_can_run(
    services: Container, platform: Engine
) -> None:
    guards = services.tokens.column_guards
    with pytest.raises(RefusedError, match=f"public.gh_connection belongs to {PLATFORM}") as refused:
        guards.plan_guard(GuardRequest())
    assert "keydeck guard --sql" in refused.value.remedy
    assert journaled(services) == ["refused"]
    plan = guards.draft_plan(GuardRequest())
    lines = list(script(plan.steps, Format.V1))
    assert f"Run as {PLATFORM}" in lines[0]
    _run_script(platform, lines)
    assert {states(guards)[column] for column in REFRESH} == {GuardState.VALIDATED}
    _run_script(platform, list(script(guards.draft_plan(GuardRequest(removes=True)).steps, Format.V1)))
    assert set(states(guards).values()) == {GuardState.MISSING}


def _run_script(engine: Engine, lines: list[str]) -> None:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("\n".join(lines), execution_options={"no_parameters": True})


def test_v2_is_demanded_only_where_keydeck_writes_it_too(
    guards: ColumnGuardService, services: Container, platform: Engine
) -> None:
    assert applied(guards).done
    with pytest.raises(RefusedError, match="Keydeck itself writes v1"):
        guards.plan_guard(GuardRequest(least=Format.V2))
    later = ColumnGuardService(
        services.engine, services.catalogue, services.journal, write_format=Format.V2, read_only=False
    )
    plan = later.plan_guard(GuardRequest(least=Format.V2, columns=REFRESH[:1]))
    assert "would be refused" in plan.left_out[0].reason
    plan = later.plan_guard(GuardRequest(least=Format.V2, columns=REFRESH[:1], everything=True))
    assert [step.kind for step in plan.steps] == [StepKind.REPLACE]
    assert later.change_guards(plan, Consent.by_option(plan)).done
    set_token(platform, v2())
    with pytest.raises(IntegrityError):
        set_token(platform, v1())


def test_guards_are_removed_at_once_whatever_is_stored(
    guards: ColumnGuardService, services: Container, platform: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert applied(guards, everything=True).done
    monkeypatch.setattr(guard_service, "count_stored", None)  # nothing is counted
    result = applied(guards, removes=True)
    assert (result.done, len(result.outcomes)) == (True, 8)
    set_token(platform, PLAINTEXT)
    assert journaled(services)[-1] == "done"
    assert guards.plan_guard(GuardRequest(removes=True)).danger is Danger.NONE


def test_what_was_stored_meanwhile_stops_the_plan(guards: ColumnGuardService, platform: Engine) -> None:
    plan = guards.plan_guard(GuardRequest())
    set_token(platform, PLAINTEXT)
    with pytest.raises(RefusedError, match="changed since the preview"):
        guards.change_guards(plan, Consent.pressed(plan))
    assert set(states(guards).values()) == {GuardState.MISSING}


def test_plaintext_that_comes_between_counting_and_adding_leaves_the_guard_not_validated(
    guards: ColumnGuardService, platform: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = guards.plan_guard(GuardRequest(columns=REFRESH[:1]))

    def late(step: object, least: Format) -> object:
        set_token(platform, PLAINTEXT)
        return _parts(step, least)  # type: ignore[arg-type]

    monkeypatch.setattr(guard_service, "transactions", late)
    (outcome,) = guards.change_guards(plan, Consent.pressed(plan)).outcomes
    assert (outcome.state, PLAINTEXT in outcome.why) == (GuardState.NOT_VALIDATED, False)
    assert "violated by some row" in outcome.why


def test_keydecks_own_writes_pass_every_guard(
    guards: ColumnGuardService, services: Container, world: World, stored: Callable[[TokenRef], str]
) -> None:
    assert applied(guards, everything=True).done
    ref = next(r for r in world.sealed_under(world.old_key) if r.column == "refresh_token")
    plan = services.tokens.work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    assert services.tokens.work.run_plan(plan, Consent.by_option(plan)).done == 1
    assert TokenCipher(services.keyring).decrypt(stored(ref)) is not None


def test_a_secrets_column_is_guarded_member_by_member(
    guards: ColumnGuardService, services: Container, platform: Engine
) -> None:
    column = "connectors.secret_json"
    row = add(platform, sealed("bot", "say"))
    services.catalogue.refresh()
    assert applied(guards, column).done
    assert states(guards)[column] is GuardState.VALIDATED
    for refused in (b'{"bot": "xoxb-1-2-KEYDECKDEMO"}', b"xoxb-1-2-KEYDECKDEMO", b'{"a": {"b": "c"}}'):
        with pytest.raises(IntegrityError):
            add(platform, refused)
    tokens = services.store.read_many([TokenRef("connectors", "secret_json", row)])
    assert replace_all(services, tokens) == {token.ref for token in tokens}
    add(platform, None)
    add(platform, b"{}")
