"""What an adversary does in each role, as data: every kind of object that the role can create or change.

Each attack is one record. `cause` is why it would work, whatever the case: attacks of one cause fall by one
mend. `PLATFORM` owns its tables, may create in `public`, and owns the database; `OPERATOR` has an operator's
login with the printed grants.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import psycopg2
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from console.sandbox import access_keys
from crypto_core.guard.operations import OPERATIONS
from tests.adversary.attempts import deeds_of
from tests.adversary.ground import Ground as Rows
from tests.adversary.stage import PLANTED, TABLES, THIEF, Play

PLATFORM, OPERATOR, FILES = "the platform", "an operator's login", "a file that is imported"
PATH = "names are resolved by a search path that others choose"
CODE = "code attached to a table runs in the operator's session"
READER = "the platform opens what Keydeck calls something else"
UNREAD = "a zero rests on what was not read"
OPEN = "a zero rests on what is not committed yet"
WRITTEN = "what is stored is not what was written"
WITNESS = "a decision rests on text in the journal"
ROWS = "a decision rests on rows that an operator may write"
IMPORTED = "a decision rests on a file that anybody made"


@dataclass(frozen=True, slots=True)
class Attack:
    """One thing that an adversary does. `run` returns what it created or changed, for the report."""

    name: str
    role: str
    cause: str
    kind: str
    run: Callable[[Play, Random], None]
    leaves_tokens: bool = False
    """True if it puts envelopes under the old key somewhere, or hides those that are there."""


ATTACKS: list[Attack] = []


def attack(
    role: str, cause: str, kind: str, *, leaves_tokens: bool = False
) -> Callable[[Callable[[Play, Random], None]], Callable[[Play, Random], None]]:
    """Register an attack under its function's name."""

    def register(run: Callable[[Play, Random], None]) -> Callable[[Play, Random], None]:
        ATTACKS.append(
            Attack(run.__name__.replace("_", " "), role, cause, kind, run, leaves_tokens=leaves_tokens)
        )
        return run

    return register


# What runs in a session: it says so in the server's log, whatever the transaction may write.
_REPORT = "RAISE LOG 'adversary: % ran as % in %', '{what}', session_user, current_database();"
_QUIET = "BEGIN {do} EXCEPTION WHEN others THEN NULL; END;"
PAYLOADS = {
    "journal": "PERFORM keydeck.append_to_journal('arn:aws:iam::123456789012:user/ben, operator', 'host',"
    f" 'keys disable', '{PLANTED}', 'done', '{{}}');",
    "backups": f"UPDATE keydeck.envelope_backup SET envelope = '{PLANTED}';",
    "more backups": "INSERT INTO keydeck.envelope_backup"
    " (run_id, verb, token_column, row_id, envelope, replaced_at)"
    f" VALUES (gen_random_uuid(), 'rewrap', 'gh_connection.access_token', 'x', '{PLANTED}', now());",
    "decoys": f"UPDATE keydeck.tripwire SET document = '{PLANTED}';",
    "nothing": "",
}


def body(what: str, payload: str) -> str:
    """PL/pgSQL that reports, and does what it came for as far as it may."""
    return _REPORT.format(what=what) + (_QUIET.format(do=PAYLOADS[payload]) if PAYLOADS[payload] else "")


def function(name: str, arguments: str, returns: str, what: str, payload: str, result: str) -> str:
    """A function that lies about what it returns, and is called immutable so that everything may call it."""
    return (
        f"CREATE OR REPLACE FUNCTION {name}({arguments}) RETURNS {returns} LANGUAGE plpgsql IMMUTABLE AS"
        f" $$ BEGIN {body(what, payload)} RETURN {result}; END $$"
    )


def trigger(name: str, table: str, when: str, do: str, *, result: str = "NEW") -> tuple[str, ...]:
    """A trigger on a table, with its function."""
    quoted = f"$$ BEGIN {do} RETURN {result}; END $$"
    return (
        f"CREATE FUNCTION public.{name}() RETURNS trigger LANGUAGE plpgsql AS {quoted}",
        f"CREATE {when.format(table=table, name=name)} EXECUTE FUNCTION public.{name}()",
    )


def payload(random: Random) -> str:
    return random.choice([*PAYLOADS])


def token_columns(play: Play) -> Iterator[tuple[str, str]]:
    with play.superuser.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_name = ANY (:tables) AND table_schema = 'public'"
                " AND column_name IN ('access_token', 'refresh_token', 'bot_token')"
            ),
            {"tables": [*TABLES]},
        ).all()
    yield from ((row[0], row[1]) for row in rows)


def a_table(random: Random) -> tuple[str, str]:
    return random.choice((("gh_connection", "access_token"), ("slack_connection", "bot_token")))


# ---- PATH

_LIES = {
    "integer": "0",
    "bigint": "0",
    "boolean": "false",
    "text": "''",
    "bytea": "''::bytea",
    "character varying": "''",
}
_SIGNATURES = """
    SELECT p.proname, array(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) t),
        format_type(p.prorettype, NULL)
    FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset
        AND p.provariadic = 0 AND p.pronargs BETWEEN 1 AND 4 AND 'text'::regtype = ANY (p.proargtypes)
        AND p.prorettype = ANY (CAST('{int4,int8,bool,text,bytea}' AS regtype[]))
"""
_OPERATORS = ("=", "<>", "~~", "!~~", "~", "!~", "^@", "<", ">", "<=", ">=", "||")


def _turn(play: Play, kind: str) -> None:
    play.run(play.platform, *(f"ALTER TABLE {t} ALTER {c} TYPE {kind}" for t, c in token_columns(play)))


def _functions(play: Play, schema: str, was: str, become: str, *, every: bool) -> None:
    with play.superuser.connect() as connection:
        signatures = connection.execute(text(_SIGNATURES)).all()
    made = []
    for name, types, returns in signatures:
        ways = [[become if t == was else t for t in types]]
        if not every and types.count(was) > 1:
            ways.append([become, *types[1:]])
        for way in ways:
            arguments = ", ".join(f"a{number} {type_}" for number, type_ in enumerate(way))
            made.append(
                function(
                    f'{schema}."{name}"', arguments, returns, f"function {name}", "nothing", _LIES[returns]
                )
            )
    many = "".join(f"BEGIN EXECUTE {_quoted(one)}; EXCEPTION WHEN others THEN NULL; END; " for one in made)
    play.run(play.platform, f"DO $do$ BEGIN {many} END $do$")


def _quoted(statement: str) -> str:
    return "'" + statement.replace("'", "''") + "'"


def _operators(play: Play, schema: str, pairs: tuple[tuple[str, str], ...]) -> None:
    for number, (left, right) in enumerate(pairs):
        lie = f"{schema}.lie_{number}"
        play.run(
            play.platform,
            function(lie, f"a {left}, b {right}", "boolean", "operator", "nothing", "false"),
            function(f"{lie}_text", f"a {left}, b {right}", "text", "operator", "nothing", "''"),
            *(
                f"CREATE OPERATOR {schema}.{sign} (LEFTARG = {left}, RIGHTARG = {right},"
                f" FUNCTION = {lie}{'_text' if sign == '||' else ''})"
                for sign in _OPERATORS
            ),
        )


@attack(PLATFORM, PATH, "function", leaves_tokens=True)
def functions_for_varchar(play: Play, random: Random) -> None:
    _turn(play, "varchar")
    _functions(play, "public", "text", "varchar", every=False)
    play.run(
        play.platform,
        function("public.concat", "a varchar, b varchar", "text", "function concat", "nothing", "''"),
        function("public.concat", "a text, b varchar", "text", "function concat", "nothing", "''"),
        function("public.concat", "a text", "text", "function concat", "nothing", "''"),
        function("public.concat", "a text, b text", "text", "function concat", "nothing", "''"),
        function("public.count", "a varchar", "bigint", "function count", "nothing", "0"),
    )


@attack(PLATFORM, PATH, "operator", leaves_tokens=True)
def operators_for_varchar(play: Play, random: Random) -> None:
    _turn(play, "varchar")
    _operators(play, "public", (("varchar", "varchar"), ("varchar", "text"), ("text", "varchar")))


@attack(PLATFORM, PATH, "search_path of the database", leaves_tokens=True)
def the_databases_search_path_has_public_first(play: Play, random: Random) -> None:
    play.run(play.platform, f"ALTER DATABASE {play.name} SET search_path = public, pg_catalog")
    _functions(play, "public", "text", "text", every=True)
    play.run(
        play.platform,
        function("public.concat", "VARIADIC a text[]", "text", "function concat", "nothing", "''"),
    )


@attack(PLATFORM, PATH, "operator behind the database's search_path", leaves_tokens=True)
def operators_before_pg_catalogs(play: Play, random: Random) -> None:
    play.run(play.platform, f"ALTER DATABASE {play.name} SET search_path = public, pg_catalog")
    _operators(play, "public", (("text", "text"), ("varchar", "text")))


@attack(PLATFORM, PATH, "aggregate", leaves_tokens=True)
def aggregates_that_count_nothing(play: Play, random: Random) -> None:
    play.run(
        play.platform,
        f"ALTER DATABASE {play.name} SET search_path = public, pg_catalog",
        function("public.none", "a bigint", "bigint", "aggregate", "nothing", "0"),
        'CREATE AGGREGATE public.count(*) (SFUNC = public.none, STYPE = bigint, INITCOND = "0")',
        "CREATE AGGREGATE public.count(*) (SFUNC = public.none, STYPE = bigint, INITCOND = '0')",
        function("public.none2", "a bigint, b bigint", "bigint", "aggregate", "nothing", "0"),
        "CREATE AGGREGATE public.sum(bigint) (SFUNC = public.none2, STYPE = bigint, INITCOND = '0')",
    )


@attack(PLATFORM, PATH, "type", leaves_tokens=True)
def types_named_as_pg_catalogs(play: Play, random: Random) -> None:
    play.run(
        play.platform,
        f"ALTER DATABASE {play.name} SET search_path = public, pg_catalog",
        *(
            f"CREATE DOMAIN public.{name} AS pg_catalog.{name} CHECK (false)"
            for name in ("text", "bytea", "int8")
        ),
    )


@attack(PLATFORM, PATH, "collation", leaves_tokens=True)
def a_collation_named_c(play: Play, random: Random) -> None:
    play.run(
        play.platform,
        f"ALTER DATABASE {play.name} SET search_path = public, pg_catalog",
        """CREATE COLLATION public."C" (provider = builtin, locale = 'C.UTF-8')""",
        """CREATE COLLATION public."default" FROM pg_catalog."C" """,
    )


@attack(PLATFORM, PATH, "cast", leaves_tokens=True)
def a_cast_that_empties(play: Play, random: Random) -> None:
    envelope = random.choice(play.ground.envelopes)
    play.run(
        play.platform,
        "CREATE TYPE public.kept_row AS (n int, t text)",
        function("public.emptied", "a public.kept_row", "text", "cast", "nothing", "''"),
        "CREATE CAST (public.kept_row AS text) WITH FUNCTION public.emptied(public.kept_row) AS IMPLICIT",
        "CREATE TABLE public.kept (id int, body public.kept_row)",
        f"INSERT INTO public.kept VALUES (1, ROW(1, '{envelope}')::public.kept_row)",
        f"GRANT SELECT ON public.kept TO {play.ground.operator.name}",
    )


@attack(PLATFORM, PATH, "relation in a schema named like the role", leaves_tokens=True)
def a_schema_named_like_the_operator(play: Play, random: Random) -> None:
    name = play.ground.operator.name
    table, _ = a_table(random)
    play.run(
        play.platform,
        f"CREATE SCHEMA {name}",
        f"CREATE TABLE {name}.{table} (LIKE public.{table} INCLUDING ALL)",
        f"GRANT USAGE ON SCHEMA {name} TO {name}",
        f"GRANT SELECT, UPDATE ON {name}.{table} TO {name}",
    )
    _functions(play, name, "text", "varchar", every=False)


@attack(PLATFORM, PATH, "relation named as a catalogue's", leaves_tokens=True)
def tables_named_as_the_catalogues(play: Play, random: Random) -> None:
    play.run(
        play.platform,
        f"ALTER DATABASE {play.name} SET search_path = public, pg_catalog",
        *(
            f"CREATE TABLE public.{name} AS SELECT * FROM pg_catalog.{name} WHERE false"
            for name in ("pg_trigger", "pg_policy", "pg_rewrite", "pg_class", "pg_attribute", "pg_stats")
        ),
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC",
    )


# ---- CODE


def _code(
    play: Play, random: Random, kind: str, *statements: str, lie: str = "true", returns: str = "boolean"
) -> None:
    """A function and what calls it on a table: `{f}` is the function, `{t}` and `{c}` the place."""
    table, column = a_table(random)
    # Of its own name: what one attack attached must not run as another's.
    name = f"public.attached_{kind.lower().replace(' ', '_')}"
    play.run(
        play.platform,
        function(name, "a text", returns, kind, payload(random), lie),
        *(one.format(f=name, t=table, c=column) for one in statements),
    )


@attack(PLATFORM, CODE, "CHECK constraint")
def a_check_constraint(play: Play, random: Random) -> None:
    _code(play, random, "CHECK", "ALTER TABLE {t} ADD CONSTRAINT attached CHECK ({f}({c}::text))")


@attack(PLATFORM, CODE, "CHECK of a domain")
def a_domain(play: Play, random: Random) -> None:
    _code(
        play,
        random,
        "domain",
        "CREATE DOMAIN public.token_text AS text CHECK ({f}(VALUE::text))",
        "ALTER TABLE {t} ALTER {c} TYPE public.token_text",
    )


@attack(PLATFORM, CODE, "column default")
def a_default(play: Play, random: Random) -> None:
    _code(
        play,
        random,
        "default",
        "ALTER TABLE {t} ADD attached text DEFAULT {f}('x')",
        lie="''",
        returns="text",
    )


@attack(PLATFORM, CODE, "generated column")
def a_generated_column(play: Play, random: Random) -> None:
    _code(
        play,
        random,
        "generated column",
        "ALTER TABLE {t} ADD attached text GENERATED ALWAYS AS ({f}({c}::text)) STORED",
        lie="'x'",
        returns="text",
    )


@attack(PLATFORM, CODE, "index expression")
def an_index_expression(play: Play, random: Random) -> None:
    _code(play, random, "index", "CREATE INDEX attached ON {t} ({f}({c}::text))", lie="a", returns="text")


@attack(PLATFORM, CODE, "index predicate")
def an_index_predicate(play: Play, random: Random) -> None:
    _code(play, random, "index predicate", "CREATE INDEX attached ON {t} (id) WHERE {f}({c}::text)")


@attack(PLATFORM, CODE, "exclusion constraint")
def an_exclusion_constraint(play: Play, random: Random) -> None:
    _code(
        play,
        random,
        "exclusion",
        "ALTER TABLE {t} ADD CONSTRAINT attached EXCLUDE USING btree ({f}({c}::text) WITH =)",
        lie="a",
        returns="text",
    )


@attack(PLATFORM, CODE, "extended statistics")
def statistics_over_a_function(play: Play, random: Random) -> None:
    _code(
        play,
        random,
        "statistics",
        "CREATE STATISTICS public.attached ON ({f}({c}::text)), id FROM {t}",
        "ANALYZE {t}",
        lie="a",
        returns="text",
    )


@attack(PLATFORM, CODE, "policy")
def a_policy(play: Play, random: Random) -> None:
    _code(
        play,
        random,
        "policy",
        "ALTER TABLE {t} ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY attached ON {t} USING ({f}({c}::text))",
    )


@attack(PLATFORM, CODE, "policy with a search path", leaves_tokens=True)
def a_policy_that_sets_the_search_path(play: Play, random: Random) -> None:
    table, column = a_table(random)
    _functions(play, "public", "text", "text", every=True)
    play.run(
        play.platform,
        "CREATE FUNCTION public.attached(a text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM set_config('search_path', 'public, pg_catalog', false); RETURN true; END $$",
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY attached ON {table} USING (public.attached({column}::text))",
    )


@attack(PLATFORM, CODE, "rule")
def a_rule_that_does_more(play: Play, random: Random) -> None:
    _code(play, random, "rule", "CREATE RULE attached AS ON UPDATE TO {t} DO ALSO SELECT {f}(NEW.{c}::text)")


@attack(PLATFORM, CODE, "trigger before a row")
def a_trigger_before_each_row(play: Play, random: Random) -> None:
    table, _ = a_table(random)
    play.run(
        play.platform,
        *trigger(
            "attached",
            table,
            "TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW",
            body("trigger", payload(random)),
        ),
    )


@attack(PLATFORM, CODE, "trigger after a statement")
def a_trigger_after_each_statement(play: Play, random: Random) -> None:
    table, _ = a_table(random)
    play.run(
        play.platform,
        *trigger(
            "attached",
            table,
            "TRIGGER {name} AFTER UPDATE ON {table} FOR EACH STATEMENT",
            body("trigger", payload(random)),
            result="NULL",
        ),
    )


@attack(PLATFORM, CODE, "constraint trigger at COMMIT")
def a_trigger_at_commit(play: Play, random: Random) -> None:
    table, _ = a_table(random)
    play.run(
        play.platform,
        *trigger(
            "attached",
            table,
            "CONSTRAINT TRIGGER {name} AFTER UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
            body("constraint trigger", payload(random)),
        ),
    )


@attack(PLATFORM, CODE, "view in a table's place")
def a_view_in_a_tables_place(play: Play, random: Random) -> None:
    table, column = a_table(random)
    with play.superuser.connect() as connection:
        columns = connection.execute(
            text("SELECT column_name FROM information_schema.columns WHERE table_name = :t"), {"t": table}
        ).scalars()
        listed = ", ".join(
            f"public.attached({name}::text) AS {name}" if name == column else name for name in columns
        )
    play.run(
        play.platform,
        function("public.attached", "a text", "text", "view", payload(random), "a"),
        f"ALTER TABLE {table} RENAME TO behind",
        f"CREATE VIEW public.{table} AS SELECT {listed} FROM behind",
        *trigger(
            "instead",
            table,
            "TRIGGER {name} INSTEAD OF UPDATE ON {table} FOR EACH ROW",
            f"UPDATE behind SET {column} = NEW.{column} WHERE id = OLD.id;",
        ),
        f"GRANT SELECT, UPDATE ON {table} TO {play.ground.operator.name}",
    )


@attack(PLATFORM, CODE, "partition with a trigger")
def a_partition_with_a_trigger(play: Play, random: Random) -> None:
    table, _ = a_table(random)
    play.run(
        play.platform,
        f"ALTER TABLE {table} RENAME TO part",
        f"CREATE TABLE public.{table} (LIKE part INCLUDING DEFAULTS) PARTITION BY RANGE (id)",
        f"ALTER TABLE {table} ATTACH PARTITION part DEFAULT",
        f"ALTER TABLE {table} ADD PRIMARY KEY (id)",
        *trigger(
            "attached",
            "part",
            "TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW",
            body("trigger of a partition", payload(random)),
        ),
        f"GRANT SELECT, UPDATE ON {table} TO {play.ground.operator.name}",
    )


@attack(PLATFORM, CODE, "trigger on Keydeck's own tables")
def a_publication_with_a_row_filter(play: Play, random: Random) -> None:
    play.run(
        play.platform,
        f"CREATE PUBLICATION attached FOR TABLE {a_table(random)[0]} WHERE (id IS NOT NULL)",
        "CREATE TRIGGER attached BEFORE INSERT ON keydeck.journal FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    )


# ---- WRITTEN

_SHORT = "substr(NEW.{c}, 1, 40)"


def _altering(play: Play, random: Random, when: str, do: str) -> None:
    table, column = a_table(random)
    play.run(play.platform, *trigger("altered", table, when, do.format(c=column, t=table)))


@attack(PLATFORM, WRITTEN, "trigger that shortens")
def a_trigger_that_shortens(play: Play, random: Random) -> None:
    _altering(
        play,
        random,
        "TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW",
        f"NEW.{{c}} := {_SHORT};",
    )


@attack(PLATFORM, WRITTEN, "trigger that shortens afterwards")
def a_trigger_that_shortens_afterwards(play: Play, random: Random) -> None:
    _altering(
        play,
        random,
        "TRIGGER {name} AFTER UPDATE ON {table} FOR EACH ROW",
        "IF pg_trigger_depth() < 2 THEN"
        " UPDATE {t} SET {c} = substr(NEW.{c}, 1, 40) WHERE id = NEW.id; END IF;",
    )


@attack(PLATFORM, WRITTEN, "constraint trigger that defers itself anew")
def a_trigger_that_defers_itself_anew(play: Play, random: Random) -> None:
    _altering(
        play,
        random,
        "CONSTRAINT TRIGGER {name} AFTER UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
        # Of each row the first time puts itself off until COMMIT, where the second one writes.
        "PERFORM set_config('adversary.r' || md5(NEW.id::text), "
        "coalesce(current_setting('adversary.r' || md5(NEW.id::text), true), '') || 'i', true);"
        " CASE current_setting('adversary.r' || md5(NEW.id::text))"
        " WHEN 'i' THEN SET CONSTRAINTS ALL DEFERRED; UPDATE {t} SET {c} = {c} WHERE id = NEW.id;"
        " WHEN 'ii' THEN UPDATE {t} SET {c} = substr(NEW.{c}, 1, 40) WHERE id = NEW.id;"
        " ELSE NULL; END CASE;",
    )


@attack(PLATFORM, WRITTEN, "trigger that puts back", leaves_tokens=True)
def a_trigger_that_puts_back(play: Play, random: Random) -> None:
    _altering(play, random, "TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW", "NEW.{c} := OLD.{c};")


@attack(PLATFORM, WRITTEN, "rule that does nothing")
def a_rule_that_does_nothing(play: Play, random: Random) -> None:
    play.run(play.platform, f"CREATE RULE n AS ON UPDATE TO {a_table(random)[0]} DO INSTEAD NOTHING")


@attack(PLATFORM, WRITTEN, "trigger that keeps a history", leaves_tokens=True)
def a_trigger_that_keeps_a_history(play: Play, random: Random) -> None:
    play.run(play.platform, "CREATE SCHEMA hidden", "CREATE TABLE hidden.kept (was text)")
    table, column = a_table(random)
    play.run(
        play.platform,
        "CREATE FUNCTION public.kept() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        f" $$ BEGIN INSERT INTO hidden.kept VALUES (OLD.{column}); RETURN NEW; END $$",
        f"CREATE TRIGGER kept BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION public.kept()",
    )


# ---- READER


def _spelled(envelope: str, random: Random) -> str:
    """An envelope as only a lenient reader takes it."""
    raw = base64.b64decode(envelope)
    _, *fields = raw.split(b"|")
    place = random.randrange(5, len(envelope) - 5)
    ways: tuple[Callable[[], str], ...] = (
        lambda: base64.encodebytes(raw).decode(),
        lambda: "\n".join(envelope[i : i + 38] for i in range(0, len(envelope), 38)),
        lambda: "\r\n".join(envelope[i : i + 64] for i in range(0, len(envelope), 64)),
        lambda: f"{envelope[:place]} {envelope[place:]}",
        lambda: f" {envelope}",
        lambda: f"{envelope}\n",
        lambda: f"{envelope[:place]}\t{envelope[place:]}",
        lambda: f"{envelope[:place]}{random.choice('-_.!*é')}{envelope[place:]}",
        lambda: f"{envelope[0]}\n{envelope[1:]}",
        lambda: base64.b64encode(
            b"|".join((random.choice((b"v0", b"", b"V1", b"v3", b"x" * 40)), *fields))
        ).decode(),
        lambda: base64.b64encode(b"v1|" + b"|".join(one[:9] + b"\n" + one[9:] for one in fields)).decode(),
        lambda: f"\ufeff{envelope}",
    )
    return random.choice(ways)()


@attack(PLATFORM, READER, "value spelt otherwise", leaves_tokens=True)
def tokens_spelt_otherwise(play: Play, random: Random) -> None:
    _respell(play, random)


def _respell(play: Play, random: Random) -> None:
    table, column = a_table(random)
    with suppress(SQLAlchemyError), play.superuser.begin() as connection:
        if play.moved:
            ids = connection.execute(text(f"SELECT id FROM {table}")).scalars().all()
            values = {i: random.choice(play.ground.envelopes) for i in ids}
        else:
            rows = connection.execute(text(f"SELECT id, {column} FROM {table} WHERE {column} IS NOT NULL"))
            values = {row[0]: row[1] for row in rows}
        for number, value in values.items():
            connection.execute(
                text(f"UPDATE {table} SET {column} = :v WHERE id = :i"),
                {"v": _spelled(value, random), "i": number},
            )


_SECRETS = (
    "INSERT INTO connectors (user_id, provider, name, secret_json, created_at)"
    " VALUES ('u', 'slack', 'n', :v, now())"
)


def _documents(play: Play, *values: bytes) -> None:
    with suppress(SQLAlchemyError), play.superuser.begin() as connection:
        for value in values:
            connection.execute(text(_SECRETS), {"v": value})


@attack(PLATFORM, READER, "document in another encoding", leaves_tokens=True)
def a_document_in_utf_16(play: Play, random: Random) -> None:
    encoding = random.choice(("utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-8-sig"))
    _documents(play, json.dumps({"bot": random.choice(play.ground.envelopes)}).encode(encoding))


@attack(PLATFORM, READER, "envelope as a member's name", leaves_tokens=True)
def an_envelope_as_a_members_name(play: Play, random: Random) -> None:
    _documents(play, json.dumps({random.choice(play.ground.envelopes): "x"}).encode())


@attack(PLATFORM, READER, "document that is no plain one", leaves_tokens=True)
def an_odd_document(play: Play, random: Random) -> None:
    envelope = random.choice(play.ground.envelopes)
    odd = (
        json.dumps([{"bot": envelope}]).encode(),
        json.dumps({"a": {"b": [envelope]}}).encode(),
        json.dumps({"bot": envelope}).replace("d", "\\u0064").encode(),
        f'{{"bot": "x", "bot": "{envelope}"}}'.encode(),
        f'{{"bot": "{envelope}"'.encode(),
        json.dumps(envelope).encode(),
        envelope.encode(),
        json.dumps({"bot": f" {envelope}\n"}).encode(),
        json.dumps({"bot": json.dumps({"bot": envelope})}).encode(),
    )
    _documents(play, random.choice(odd))


@attack(PLATFORM, READER, "value that is more than an envelope", leaves_tokens=True)
def a_value_that_is_more(play: Play, random: Random) -> None:
    envelope = random.choice(play.ground.envelopes)
    odd = (f"Bearer {envelope}", json.dumps({"t": envelope}), envelope + envelope, f"v1:{envelope}")
    with suppress(SQLAlchemyError), play.superuser.begin() as connection:
        connection.execute(text("UPDATE slack_connection SET bot_token = :v"), {"v": random.choice(odd)})


# ---- UNREAD


def _granted(play: Play, table: str) -> str:
    return f"GRANT SELECT ON {table} TO {play.ground.operator.name}"


SETTINGS = (
    *("standard_conforming_strings = off", "quote_all_identifiers = on", "transform_null_equals = on"),
    *("bytea_output = escape", "array_nulls = off", "DateStyle = 'SQL, DMY'", "IntervalStyle = sql_standard"),
    *("extra_float_digits = -15", "TimeZone = 'Pacific/Kiritimati'", "xmloption = document"),
    *("row_security = off", "default_transaction_isolation = serializable", "constraint_exclusion = on"),
    *("default_transaction_read_only = on", "client_encoding = SQL_ASCII", "lc_messages = 'C'"),
    *("plan_cache_mode = force_generic_plan", "enable_seqscan = off", "statement_timeout = 900"),
)


@attack(PLATFORM, UNREAD, "needle among many rows", leaves_tokens=True)
def envelopes_among_many_rows(play: Play, random: Random) -> None:
    envelope = random.choice(play.ground.envelopes)
    play.run(
        play.platform,
        "CREATE TABLE public.notes (id int, body text)",
        "INSERT INTO public.notes SELECT i, repeat(md5(i::text), 3) FROM generate_series(1, 30000) i",
        f"UPDATE public.notes SET body = '{envelope}' WHERE id = {random.randrange(1, 30000)}",
        _granted(play, "public.notes"),
        "ANALYZE public.notes",
    )


@attack(PLATFORM, PATH, "setting of the database", leaves_tokens=True)
def the_database_says_what_statements_mean(play: Play, random: Random) -> None:
    envelope, settings = random.choice(play.ground.envelopes), random.sample(SETTINGS, 3)
    play.run(
        play.platform,
        "CREATE TABLE public.notes (id int, body text)",
        # A document whose first letter is written by its number.
        f"""INSERT INTO public.notes SELECT 1, concat('{{"t": "', chr(92), 'u0064{envelope[1:]}"}}')""",
        _granted(play, "public.notes"),
        *(f"ALTER DATABASE {play.name} SET {setting}" for setting in settings),
    )


@attack(PLATFORM, UNREAD, "needle in a long value", leaves_tokens=True)
def an_envelope_behind_much_text(play: Play, random: Random) -> None:
    envelope, before = random.choice(play.ground.envelopes), random.choice((5_000, 25_000, 400_000))
    play.run(
        play.platform,
        "CREATE TABLE public.notes (id int, body text)",
        f"INSERT INTO public.notes VALUES (1, repeat('x ', {before}) || '{envelope}')",
        _granted(play, "public.notes"),
    )


@attack(PLATFORM, UNREAD, "type that is no text", leaves_tokens=True)
def an_envelope_in_another_type(play: Play, random: Random) -> None:
    envelope = random.choice(play.ground.envelopes)
    type_, value = random.choice(
        (
            ("text[]", f"ARRAY['', '{envelope}']"),
            ("jsonb", f"""'{{"a": ["{envelope}"]}}'"""),
            ("json", f"""'{{"{envelope}": 1}}'"""),
            ("bytea", f"convert_to('{envelope}', 'UTF8')"),
            ("bytea", f"convert_to('{envelope}', 'LATIN1') || '\\x00'::bytea"),
            ("xml", f"xmlelement(name t, '{envelope}')"),
            ("bpchar(2000)", f"'{envelope}'"),
            ("varchar", f"'{envelope}'"),
            ("tsvector", f"'{envelope}'::tsvector"),
            ("name", f"'{envelope[:40]}'"),
            ("jsonpath", f"""'$."{envelope}"'"""),
        )
    )
    play.run(
        play.platform,
        f"CREATE TABLE public.notes (id int, body {type_})",
        f"INSERT INTO public.notes VALUES (1, {value})",
        _granted(play, "public.notes"),
    )


@attack(PLATFORM, UNREAD, "type of the platform's own", leaves_tokens=True)
def an_envelope_in_a_type_of_its_own(play: Play, random: Random) -> None:
    envelope = random.choice(play.ground.envelopes)
    make, value = random.choice(
        (
            ("CREATE TYPE public.own AS (n int, t text)", f"ROW(1, '{envelope}')::public.own"),
            ("CREATE DOMAIN public.own AS text", f"'{envelope}'"),
            ("CREATE DOMAIN public.own AS text[]", f"ARRAY['{envelope}']"),
            ("CREATE TYPE public.own AS RANGE (subtype = text)", f"public.own('{envelope}', 'z{envelope}')"),
        )
    )
    play.run(
        play.platform,
        make,
        "CREATE TABLE public.notes (id int, body public.own)",
        f"INSERT INTO public.notes VALUES (1, {value})",
        _granted(play, "public.notes"),
    )


@attack(PLATFORM, UNREAD, "table that the operator may not read", leaves_tokens=True)
def a_table_that_nobody_may_read(play: Play, random: Random) -> None:
    kind = random.choice(("TABLE", "MATERIALIZED VIEW"))
    play.run(
        play.platform,
        "CREATE SCHEMA hidden",
        f"CREATE {kind} hidden.kept AS SELECT '{random.choice(play.ground.envelopes)}'::text AS body",
    )


@attack(PLATFORM, UNREAD, "inheritance child", leaves_tokens=True)
def a_child_of_a_token_table(play: Play, random: Random) -> None:
    play.run(
        play.platform,
        "CREATE SCHEMA hidden",
        "CREATE TABLE hidden.child () INHERITS (public.slack_connection)",
        "INSERT INTO hidden.child (id, org_id, team_id, bot_token, created_at, updated_at)"
        f" VALUES (9001, 'o', 't', '{random.choice(play.ground.envelopes)}', now(), now())",
    )


@attack(PLATFORM, UNREAD, "large object", leaves_tokens=True)
def a_large_object(play: Play, random: Random) -> None:
    play.run(
        play.platform,
        f"SELECT lo_from_bytea(0, convert_to('{random.choice(play.ground.envelopes)}', 'UTF8'))",
    )


@attack(PLATFORM, UNREAD, "policy that hides rows", leaves_tokens=True)
def a_policy_that_hides_rows(play: Play, random: Random) -> None:
    if play.moved:
        play.run(
            play.superuser,
            f"UPDATE slack_connection SET bot_token = '{random.choice(play.ground.envelopes)}'"
            " WHERE id = (SELECT min(id) FROM slack_connection)",
        )
    play.run(
        play.platform,
        "ALTER TABLE slack_connection ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY hides ON slack_connection USING (bot_token IS NULL)",
    )


@attack(PLATFORM, UNREAD, "view without the rows", leaves_tokens=True)
def a_view_without_the_rows(play: Play, random: Random) -> None:
    table, column = a_table(random)
    if play.moved:
        play.run(play.superuser, f"UPDATE {table} SET {column} = '{random.choice(play.ground.envelopes)}'")
    play.run(
        play.platform,
        f"ALTER TABLE {table} RENAME TO behind",
        f"CREATE VIEW public.{table} AS SELECT * FROM behind WHERE false",
        f"GRANT SELECT, UPDATE ON {table} TO {play.ground.operator.name}",
    )


# ---- OPEN


@attack(PLATFORM, OPEN, "open transaction", leaves_tokens=True)
def a_transaction_that_commits_later(play: Play, random: Random) -> None:
    connection = psycopg2.connect(
        play.platform.url.set(drivername="postgresql", query={}).render_as_string(hide_password=False)
    )
    with suppress(psycopg2.Error), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO public.slack_connection (org_id, team_id, bot_token, created_at, updated_at)"
            " VALUES ('o', 't', %s, now(), now())",
            (random.choice(play.ground.envelopes),),
        )
    play.held.append(connection)


# ---- WITNESS and ROWS: an operator's login


def _journal(play: Play, action: str, subject: str, outcome: str, detail: str, actor: str) -> None:
    with play.other.connect() as connection:
        try:
            connection.execute(
                text(
                    "SELECT keydeck.append_to_journal(:actor, 'host', :action, :subject, :outcome, :detail)"
                ),
                {"actor": actor, "action": action, "subject": subject, "outcome": outcome, "detail": detail},
            )
            connection.commit()
        except Exception as error:  # noqa: BLE001  # a refusal is an answer
            play.notes.append(str(error).partition("\n")[0][:200])


ACTIONS = (
    *sorted({operation.journaled_as for operation in OPERATIONS}),
    *("journal checkpoint", "approvals use", "approvals approve", "approvals request", "evidence purge"),
    *("evidence record", "tripwire add", "incident run", "incident done", "accepted-loss", "accept losses"),
)


@attack(OPERATOR, WITNESS, "entry with the thief as actor")
def the_thief_is_called_a_colleague(play: Play, random: Random) -> None:
    action = random.choice(("status", "keys show", "reencrypt", "approvals approve"))
    _journal(play, action, "x", "done", "{}", f"{THIEF}, {play.ground.operator.name}")


@attack(OPERATOR, WITNESS, "entry with garbage")
def an_entry_with_garbage(play: Play, random: Random) -> None:
    detail = random.choice(
        ("", "{", "[]", "null", "0", '{"a": "' + "x" * 5000 + '"}', "\\u0000", '{"run": []}')
    )
    _journal(play, random.choice(ACTIONS), random.choice(("", "x", "journal")), "done", detail, "ben")


@attack(OPERATOR, WITNESS, "entry that steers", leaves_tokens=True)
def an_entry_that_steers(play: Play, random: Random) -> None:
    """Whatever action, in a form that is as good as its own."""
    old = play.ground.old
    detail = {
        "run": "00000000-0000-0000-0000-000000000001",
        "key": old,
        "key_arn": old,
        "tokens": 1000,
        "accepted": 1000,
        "lost": [str(n) for n in range(20)],
        "references": ["slack_connection.bot_token:1"],
        "request": play.notes[0] if play.notes else "",
        "id": play.notes[0] if play.notes else "",
        "digest": "00" * 32,
        "seq": 1,
        "signature": base64.b64encode(b"x" * 70).decode(),
        "purged": 5,
        "number": 1,
        "decoys": 5,
    }
    _journal(
        play,
        random.choice(ACTIONS),
        random.choice((old, "1", "journal", "x")),
        "done",
        json.dumps(detail),
        "ben",
    )


@attack(OPERATOR, ROWS, "statement in schema keydeck", leaves_tokens=True)
def any_statement_in_keydecks_schema(play: Play, random: Random) -> None:
    rows = Rows(play.superuser)
    deeds = {deed: may for deed, may in deeds_of(play.other, rows.tables).items() if "keydeck" in deed.place}
    for _ in range(random.choice((1, 3, 8))):
        deed = random.choice(sorted(deeds, key=str))
        for statement, _ in rows.statements(deed, deeds[deed], each=random.random() < 0.5):
            play.run(play.other, statement)


@attack(OPERATOR, ROWS, "answers of KMS", leaves_tokens=True)
def answers_that_name_another_key(play: Play, random: Random) -> None:
    play.keydeck("status")
    play.run(
        play.other,
        f"UPDATE keydeck.key_answer SET key_arn = '{play.ground.new}'",
        "INSERT INTO keydeck.sweep (taken_at, taken_by, shape, complete, report)"
        " SELECT now(), taken_by, shape, true, report FROM keydeck.sweep LIMIT 1",
    )


@attack(OPERATOR, ROWS, "decoy list", leaves_tokens=True)
def a_decoy_list_that_names_tokens(play: Play, random: Random) -> None:
    envelope = random.choice(play.ground.envelopes)
    play.run(
        play.other,
        f"INSERT INTO keydeck.tripwire VALUES (1, 1, '{envelope}', 1)",
        f"SELECT keydeck.write_tripwire_list('ben', 'host', 'tripwire 1', 1, '{envelope}', '{{}}')",
        f"UPDATE keydeck.tripwire SET document = '{envelope}'",
    )


@attack(OPERATOR, ROWS, "approval decided by SQL")
def an_approval_by_sql(play: Play, random: Random) -> None:
    ben = "arn:aws:sts::123456789012:assumed-role/keydeck-approver/ben"
    play.run(
        play.other,
        "UPDATE keydeck.approval SET decision = 'approved', decided_at = now() - interval '150 days',"
        f" decided_by = '{ben}', decided_parts = parts, digest = digest",
    )
    if random.random() < 0.5:
        _journal(play, "approvals approve", play.notes[0] if play.notes else "x", "done", "{}", ben)


# ---- IMPORTED


@attack(FILES, IMPORTED, "event")
def an_event_that_nobody_delivered(play: Play, random: Random) -> None:
    operation = random.choice(("Sign", "GenerateDataKeyWithoutPlaintext", "Encrypt"))
    record: dict[str, Any] = {
        "eventVersion": "1.09",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": "AROAX:ben",
            "arn": "arn:aws:sts::123456789012:assumed-role/keydeck-approver/ben",
            "accountId": "123456789012",
        },
        "eventTime": "2026-12-01T00:00:00Z",
        "eventSource": "kms.amazonaws.com",
        "eventName": operation,
        "awsRegion": "eu-west-1",
        "sourceIPAddress": "10.0.0.1",
        "userAgent": "aws-cli",
        "requestParameters": {
            "keyId": play.ground.new,
            "signingAlgorithm": "ECDSA_SHA_256",
            "encryptionContext": {"keydeck:request": play.notes[0] if play.notes else "x"},
        },
        "responseElements": None,
        "requestID": "00000000-0000-0000-0000-000000000001",
        "eventID": "00000000-0000-0000-0000-000000000002",
        "readOnly": True,
        "resources": [{"ARN": play.ground.new, "accountId": "123456789012", "type": "AWS::KMS::Key"}],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": "123456789012",
        "eventCategory": "Management",
    }
    path = play.ground.folder / f"{play.name}.json"
    path.write_text(json.dumps({"Records": [record]}))
    play.keydeck("events", "import", str(path))


@attack(FILES, IMPORTED, "events that say who the platform is")
def events_that_call_the_thief_the_platform(play: Play, random: Random) -> None:
    """The thief makes most data keys, and did so for weeks, says a file."""
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    records = []
    for number in range(60):
        moment = now - timedelta(days=10) + timedelta(hours=number)
        records.append(
            {
                "eventVersion": "1.09",
                "userIdentity": {
                    "type": "IAMUser",
                    "principalId": "AIDAX",
                    "arn": THIEF,
                    "accountId": "123456789012",
                    "accessKeyId": access_keys.INTRUDER,
                    "userName": "intruder",
                },
                "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "eventSource": "kms.amazonaws.com",
                "eventName": "GenerateDataKey",
                "awsRegion": "eu-west-1",
                "sourceIPAddress": "198.51.100.23",
                "userAgent": "python",
                "requestParameters": {"keyId": play.ground.old, "keySpec": "AES_256"},
                "responseElements": None,
                "requestID": f"00000000-0000-0000-0001-{number:012}",
                "eventID": f"00000000-0000-0000-0002-{number:012}",
                "readOnly": True,
                "resources": [{"ARN": play.ground.old, "accountId": "123456789012", "type": "AWS::KMS::Key"}],
                "eventType": "AwsApiCall",
                "managementEvent": True,
                "recipientAccountId": "123456789012",
                "eventCategory": "Management",
            }
        )
    path = play.ground.folder / f"{play.name}-platform.json"
    path.write_text(json.dumps({"Records": records}))
    play.keydeck("events", "import", str(path))
