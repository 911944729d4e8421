"""What code of others writes in Keydeck's own transaction is found, by kind of object."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.world import World
from crypto_core import encrypt_token
from crypto_core.database.tokens.store import Replacement
from crypto_core.guard.consent import Consent
from crypto_core.guard.guarded_change import Outcome
from crypto_core.reencryption.jobs.model import JobOptions, JobState
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import ChangedAtCommitError, DatabaseError, ForeignWriteError
from crypto_core.values.references import TokenRef
from tests.crypto_core.statements import execute, scalar

T = "public.gh_connection"
ENTRY = "PERFORM keydeck.append_to_journal('arn:aws:iam::1:user/ben', 'h', 'keys enable', 'k', 'done', '{}');"
BACKUP = (
    "PERFORM keydeck.back_up_envelopes('00000000-0000-0000-0000-000000000001', 'rewrap', "
    "ARRAY['gh_connection.access_token'], ARRAY['gh-1'], ARRAY['djF8'], ARRAY['k'], ARRAY['m'], "
    "ARRAY[CAST('x' AS bytea)]);"
)
PURGE = "PERFORM keydeck.purge_envelopes('arn:aws:iam::1:user/ben', 'h', NULL, NULL, 1000);"
DEEDS = {"an entry": ENTRY, "a backup": BACKUP, "a purge": PURGE}
EXPRESSION = """
CREATE FUNCTION public.evil(text) RETURNS {returns} LANGUAGE plpgsql IMMUTABLE AS $$BEGIN
IF current_setting('transaction_read_only') = 'off' AND pg_has_role('operator', 'MEMBER') THEN {deed} END IF;
RETURN {value}; END$$
"""
FIRED = """
CREATE FUNCTION public.evil() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {deed} RETURN {value}; END$$
"""
DEFERRED = """
CREATE FUNCTION public.evil() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE round text := current_setting('evil.round', true);
BEGIN
  IF coalesce(round, '') = '' THEN
    PERFORM set_config('evil.round', 'second', true);
    SET CONSTRAINTS ALL DEFERRED;
    UPDATE public.gh_connection SET access_token = access_token WHERE id = NEW.id;
  ELSIF round = 'second' THEN
    PERFORM set_config('evil.round', 'over', true);
    {deed}
  END IF;
  RETURN NULL;
END$$
"""
TRUE = {"returns": "boolean", "value": "true"}
TEXT = {"returns": "text", "value": "'x'"}
ROW, NOTHING = {"value": "NEW"}, {"value": "NULL"}
KINDS: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "check": (EXPRESSION, TRUE, (f"ALTER TABLE {T} ADD CONSTRAINT o CHECK (evil(access_token)) NOT VALID",)),
    "generated column": (
        EXPRESSION,
        TEXT,
        (f"ALTER TABLE {T} ADD o text GENERATED ALWAYS AS (evil(access_token)) STORED",),
    ),
    "index expression": (EXPRESSION, TEXT, (f"CREATE INDEX o ON {T} (evil(access_token))",)),
    "index predicate": (EXPRESSION, TRUE, (f"CREATE INDEX o ON {T} (id) WHERE evil(access_token)",)),
    "domain": (
        EXPRESSION,
        TRUE,
        (
            "CREATE DOMAIN public.o AS text CHECK (evil(VALUE))",
            f"ALTER TABLE {T} ALTER access_token TYPE public.o",
        ),
    ),
    "policy": (
        EXPRESSION,
        TRUE,
        (
            f"CREATE POLICY o ON {T} USING (true) WITH CHECK (evil(access_token))",
            f"ALTER TABLE {T} ENABLE ROW LEVEL SECURITY",
        ),
    ),
    "rule": (EXPRESSION, TEXT, (f"CREATE RULE o AS ON UPDATE TO {T} DO ALSO NOTIFY o",)),
    "trigger": (FIRED, ROW, (f"CREATE TRIGGER o BEFORE UPDATE ON {T} FOR EACH ROW EXECUTE FUNCTION evil()",)),
    "trigger that drops the write": (
        FIRED,
        NOTHING,
        (f"CREATE TRIGGER o BEFORE UPDATE ON {T} FOR EACH ROW EXECUTE FUNCTION evil()",),
    ),
    "constraint trigger": (
        DEFERRED,
        ROW,
        (
            f"CREATE CONSTRAINT TRIGGER o AFTER UPDATE ON {T} DEFERRABLE INITIALLY DEFERRED "  # noqa: ISC004
            "FOR EACH ROW EXECUTE FUNCTION evil()",
        ),
    ),
}
WRITING = [kind for kind in KINDS if kind != "rule"]


@pytest.fixture
def ref(world: World) -> TokenRef:
    return next(r for r in world.sealed_under(world.current_key) if str(r).startswith("gh_connection.access"))


def attach(platform: Engine, superuser: Engine, kind: str, deed: str) -> None:
    """Attach it as the platform, who owns the tables; only then does the function do harm."""
    function, how, statements = KINDS[kind]
    execute(superuser, "GRANT CREATE ON SCHEMA public TO platform")
    with platform.begin() as connection:
        connection.exec_driver_sql(function.format(deed="", **how))
        for statement in statements:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(
            function.format(deed=deed, **how).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
        )


def write(services: Container, ref: TokenRef) -> None:
    new = Replacement(services.store.read_token(ref), encrypt_token("gho_new"), None)
    services.store.write_tokens(uuid4(), "reencrypt", [new])


@pytest.mark.quick(9)
@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("kind", WRITING)
def test_what_code_writes_in_our_transaction_stops_the_run_and_is_named(
    services: Container, platform: Engine, superuser: Engine, ref: TokenRef, kind: str, deed: str
) -> None:
    write(services, ref)  # there is a backup to be purged
    attach(platform, superuser, kind, DEEDS[deed])
    with pytest.raises(ForeignWriteError, match=r"journal entry|backup") as raised:
        write(services, ref)
    assert "public.evil(" in raised.value.message
    left = scalar(superuser, "SELECT count(*) FROM keydeck.journal WHERE actor LIKE '%ben'")
    # What acts at COMMIT stays, and is named; all else is rolled back with the tokens.
    assert left == (kind == "constraint trigger" and deed != "a backup")


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_names_it(
    services: Container, platform: Engine, superuser: Engine, ref: TokenRef, world: World, kind: str
) -> None:
    attach(platform, superuser, kind, "")
    plan = services.tokens.work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    (code,) = plan.code
    assert (code.function or kind) in ("public.evil(text)", "public.evil()", "rule")
    assert any(str(code) in warning for warning in plan.warnings)


def test_a_stopped_run_is_journaled_as_failed_with_what_was_written(
    services: Container, platform: Engine, superuser: Engine, ref: TokenRef, world: World
) -> None:
    attach(platform, superuser, "constraint trigger", ENTRY)
    plan = services.tokens.work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    with pytest.raises(ForeignWriteError, match="keys enable by arn:aws:iam::1:user/ben"):
        services.tokens.work.run_plan(plan, Consent.by_option(plan, plan.unagreed))
    last = services.journal.entries()[-1]
    assert (last.action, last.outcome) == ("reencrypt", Outcome.FAILED.value)
    assert "keys enable by arn:aws:iam::1:user/ben" in last.detail


@pytest.mark.parametrize(
    ("body", "trigger", "named"),
    [
        (
            "NEW.envelope := left(NEW.envelope, 40); RETURN NEW;",
            "TRIGGER o BEFORE INSERT ON keydeck.envelope_backup",
            "stores other values than it is given",
        ),
        (
            "UPDATE keydeck.envelope_backup SET envelope = left(envelope, 9) WHERE id = NEW.id; RETURN NULL;",
            "CONSTRAINT TRIGGER o AFTER INSERT ON keydeck.envelope_backup DEFERRABLE INITIALLY DEFERRED",
            r"now stored differently.* trigger o on keydeck.envelope_backup runs public\.cut",
        ),
    ],
    ids=["at once", "at COMMIT"],
)
def test_a_trigger_that_shortens_backups_is_found(
    services: Container, superuser: Engine, ref: TokenRef, body: str, trigger: str, named: str
) -> None:
    before = services.store.read_token(ref)
    with superuser.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE FUNCTION public.cut() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} END$$"
        )
        connection.exec_driver_sql(f"CREATE {trigger} FOR EACH ROW EXECUTE FUNCTION public.cut()")
    with pytest.raises(DatabaseError, match=named):
        write(services, ref)
    assert services.store.read_token(ref).digest == before.digest


def test_an_audit_trigger_with_a_table_of_its_own_lets_everything_finish(
    services: Container, platform: Engine, superuser: Engine, ref: TokenRef
) -> None:
    audit = "INSERT INTO public.audit VALUES (now(), NEW.id);"
    with superuser.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE public.audit (at timestamptz, id text)")
        connection.exec_driver_sql("GRANT INSERT ON public.audit TO PUBLIC")
    attach(platform, superuser, "trigger", audit)
    write(services, ref)
    assert scalar(superuser, "SELECT count(*) FROM public.audit") == 1


def test_nobody_but_the_owner_writes_backups_and_each_purge_makes_its_entry(
    services: Container, superuser: Engine, ref: TokenRef
) -> None:
    write(services, ref)
    grants = scalar(
        superuser,
        "SELECT count(*) FROM pg_class c, aclexplode(c.relacl) t "
        "WHERE c.oid = 'keydeck.envelope_backup'::regclass AND t.grantee <> c.relowner "
        "AND t.privilege_type <> 'SELECT'",
    )
    assert not grants
    plan = services.tokens.undoing.plan_purge()
    assert services.tokens.undoing.purge_backups(plan, Consent.by_option(plan)) == 1
    (entry,) = [e for e in services.journal.entries() if e.action == "envelopes purged"]
    assert '"purged": 1' in entry.detail


def test_shortening_and_writing_at_once_names_the_tokens_first(
    services: Container, platform: Engine, superuser: Engine, ref: TokenRef
) -> None:
    attach(
        platform,
        superuser,
        "constraint trigger",
        "UPDATE public.gh_connection SET access_token = left(access_token, 40) WHERE id = NEW.id;" + ENTRY,
    )
    with pytest.raises(ChangedAtCommitError, match="journal entry"):
        write(services, ref)


@pytest.mark.deep
@pytest.mark.parametrize(
    ("deed", "error"),
    [
        (ENTRY, ForeignWriteError),
        (
            "UPDATE public.gh_connection SET access_token = left(access_token, 40) WHERE id = NEW.id;",
            ChangedAtCommitError,
        ),
    ],
)
def test_a_job_stops_for_all_who_work_on_it_and_the_journal_says_why(
    services: Container,
    platform: Engine,
    superuser: Engine,
    ref: TokenRef,
    world: World,
    deed: str,
    error: type[DatabaseError],
) -> None:
    attach(platform, superuser, "constraint trigger", deed)
    jobs = services.tokens.jobs
    plan = jobs.plan_job(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn, JobOptions())
    number = jobs.start_job(plan, Consent.by_option(plan, plan.unagreed))
    with pytest.raises(error):
        jobs.join_job(number)
    assert jobs.show_job(number).state is JobState.FAILED
    failed = services.journal.entries()[-1]
    assert (failed.subject, failed.outcome) == (f"job {number}", Outcome.FAILED.value)
    assert "public.evil()" in failed.detail
