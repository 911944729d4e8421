"""What an adversary does in each role, as data: every kind of object that the role can create or change.

Each attack is one record, named by the kind of object. `cause` is why it would work, whatever the case:
attacks of one cause fall by one mend. The platform owns its tables, may create in `public`, and owns the
database; an operator's login has the printed grants.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
from tests.crypto_core.statements import execute
from tests.crypto_core.trail.records import record

PATH = "names are resolved by a search path that others choose"
CODE = "code attached to a table runs in the operator's session"
READER = "the platform opens what Keydeck calls something else"
UNREAD = "a zero rests on what was not read"
OPEN = "a zero rests on what is not committed yet"
WRITTEN = "what is stored is not what was written"
WITNESS = "a decision rests on text in the journal"
ROWS = "a decision rests on rows that an operator may write"
IMPORTED = "a decision rests on a file that anybody made"
BEN = "arn:aws:sts::123456789012:assumed-role/keydeck-approver/ben"

Run = Callable[[Play, Random], None]


@dataclass(frozen=True, slots=True)
class Attack:
    """One thing that an adversary does."""

    name: str
    cause: str
    run: Run


ATTACKS: list[Attack] = []


def attack(cause: str, name: str) -> Callable[[Run], Run]:
    def register(run: Run) -> Run:
        ATTACKS.append(Attack(name, cause, run))
        return run

    return register


def by_platform(cause: str, name: str, *statements: str | tuple[str, ...]) -> None:
    """Register an attack of statements that the platform runs; of a tuple, one is drawn.

    `<t>` and `<c>` are a place with tokens, `<envelope>` one under the old key, `<do>` PL/pgSQL that reports,
    and does what it came for as far as it may. `<operator>` and `<database>` are names.
    """

    @attack(cause, name)
    def run(play: Play, random: Random) -> None:
        table, column = a_table(random)
        payload = random.choice([*PAYLOADS.values()])
        words = {
            "<t>": table,
            "<c>": column,
            "<envelope>": random.choice(play.ground.envelopes),
            "<do>": _REPORT.format(what=name) + (_QUIET.format(do=payload) if payload else ""),
            "<operator>": play.ground.operator.name,
            "<database>": play.name,
        }
        for one in statements:
            statement = one if isinstance(one, str) else random.choice(one)
            for word, value in words.items():
                statement = statement.replace(word, value)
            play.run(play.platform, statement)


def by_code(name: str, *statements: str, result: str = "true") -> None:
    """Register a function of its own, `<f>`, and what calls it on a table.

    Of its own name: what one attack attached must not run as another's.
    """
    own = f"public.attached_{name.lower().replace(' ', '_')}"
    returns = "boolean" if result == "true" else "text"
    made = function(own, "a text", returns, result, do="<do>")
    by_platform(CODE, name, made, *(one.replace("<f>", own) for one in statements))


EACH = "TRIGGER <name> BEFORE UPDATE ON <t> FOR EACH ROW"
AFTER = "TRIGGER <name> AFTER UPDATE ON <t> FOR EACH ROW"
AT_COMMIT = "CONSTRAINT TRIGGER <name> AFTER UPDATE ON <t> DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"


def trigger(name: str, when: str, do: str, *, result: str = "NEW") -> tuple[str, ...]:
    """A trigger on a table, with its function."""
    made = f"CREATE FUNCTION public.{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {do}"
    attached = f"CREATE {when.replace('<name>', name)} EXECUTE FUNCTION public.{name}()"
    return f"{made} RETURN {result}; END $$", attached


def function(name: str, arguments: str, returns: str, result: str, do: str = "") -> str:
    """A function that lies about what it returns, and is called immutable so that everything may call it."""
    return (
        f"CREATE OR REPLACE FUNCTION {name}({arguments}) RETURNS {returns} LANGUAGE plpgsql IMMUTABLE AS"
        f" $$ BEGIN {do or _REPORT.format(what=name)} RETURN {result}; END $$"
    )


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


PUBLIC_FIRST = "ALTER DATABASE <database> SET search_path = public, pg_catalog"


def _as_varchar(play: Play) -> None:
    statement = (
        "SELECT format('ALTER TABLE %I ALTER %I TYPE varchar', table_name, column_name)"
        " FROM information_schema.columns WHERE table_name = ANY (:tables) AND table_schema = 'public'"
        " AND column_name IN ('access_token', 'refresh_token', 'bot_token')"
    )
    with play.superuser.connect() as connection:
        statements = connection.execute(text(statement), {"tables": [*TABLES]}).scalars().all()
    play.run(play.platform, *statements)


def _public_first(play: Play) -> None:
    play.run(play.platform, PUBLIC_FIRST.replace("<database>", play.name))


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
            made.append(function(f'{schema}."{name}"', arguments, returns, _LIES[returns]))
    many = "".join(f"BEGIN EXECUTE {_quoted(one)}; EXCEPTION WHEN others THEN NULL; END; " for one in made)
    play.run(play.platform, f"DO $do$ BEGIN {many} END $do$")


def _quoted(statement: str) -> str:
    return "'" + statement.replace("'", "''") + "'"


def _operators(play: Play, *pairs: tuple[str, str]) -> None:
    for number, (left, right) in enumerate(pairs):
        lie = f"public.lie_{number}"
        play.run(
            play.platform,
            function(lie, f"a {left}, b {right}", "boolean", "false"),
            function(f"{lie}_text", f"a {left}, b {right}", "text", "''"),
            *(
                f"CREATE OPERATOR public.{sign} (LEFTARG = {left}, RIGHTARG = {right},"
                f" FUNCTION = {lie}{'_text' if sign == '||' else ''})"
                for sign in _OPERATORS
            ),
        )


@attack(PATH, "functions for varchar")
def _(play: Play, random: Random) -> None:
    _as_varchar(play)
    _functions(play, "public", "text", "varchar", every=False)
    for arguments in ("a varchar, b varchar", "a text, b varchar", "a text", "a text, b text"):
        play.run(play.platform, function("public.concat", arguments, "text", "''"))
    play.run(play.platform, function("public.count", "a varchar", "bigint", "0"))


@attack(PATH, "operators for varchar")
def _(play: Play, random: Random) -> None:
    _as_varchar(play)
    _operators(play, ("varchar", "varchar"), ("varchar", "text"), ("text", "varchar"))


@attack(PATH, "functions behind the database's search_path")
def _(play: Play, random: Random) -> None:
    _public_first(play)
    _functions(play, "public", "text", "text", every=True)
    play.run(play.platform, function("public.concat", "VARIADIC a text[]", "text", "''"))


@attack(PATH, "operators behind the database's search_path")
def _(play: Play, random: Random) -> None:
    _public_first(play)
    _operators(play, ("text", "text"), ("varchar", "text"))


by_platform(
    *(PATH, "aggregates that count nothing", PUBLIC_FIRST),
    function("public.none", "a bigint", "bigint", "0"),
    'CREATE AGGREGATE public.count(*) (SFUNC = public.none, STYPE = bigint, INITCOND = "0")',
    "CREATE AGGREGATE public.count(*) (SFUNC = public.none, STYPE = bigint, INITCOND = '0')",
    function("public.none2", "a bigint, b bigint", "bigint", "0"),
    "CREATE AGGREGATE public.sum(bigint) (SFUNC = public.none2, STYPE = bigint, INITCOND = '0')",
)
by_platform(
    *(PATH, "types named as pg_catalog's", PUBLIC_FIRST),
    *(
        f"CREATE DOMAIN public.{name} AS pg_catalog.{name} CHECK (false)"
        for name in ("text", "bytea", "int8")
    ),
)
by_platform(
    *(PATH, "collations named as pg_catalog's", PUBLIC_FIRST),
    """CREATE COLLATION public."C" (provider = builtin, locale = 'C.UTF-8')""",
    """CREATE COLLATION public."default" FROM pg_catalog."C" """,
)
by_platform(
    *(PATH, "cast that empties", "CREATE TYPE public.kept_row AS (n int, t text)"),
    function("public.emptied", "a public.kept_row", "text", "''"),
    "CREATE CAST (public.kept_row AS text) WITH FUNCTION public.emptied(public.kept_row) AS IMPLICIT",
    "CREATE TABLE public.kept (id int, body public.kept_row)",
    "INSERT INTO public.kept VALUES (1, ROW(1, '<envelope>')::public.kept_row)",
    "GRANT SELECT ON public.kept TO <operator>",
)


@attack(PATH, "relation in a schema named like the role")
def _(play: Play, random: Random) -> None:
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


by_platform(
    *(PATH, "tables named as the catalogue's", PUBLIC_FIRST),
    *(
        f"CREATE TABLE public.{name} AS SELECT * FROM pg_catalog.{name} WHERE false"
        for name in ("pg_trigger", "pg_policy", "pg_rewrite", "pg_class", "pg_attribute", "pg_stats")
    ),
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC",
)


# ---- CODE

by_code("CHECK constraint", "ALTER TABLE <t> ADD CONSTRAINT attached CHECK (<f>(<c>::text))")
by_code(
    "CHECK of a domain",
    "CREATE DOMAIN public.token_text AS text CHECK (<f>(VALUE::text))",
    "ALTER TABLE <t> ALTER <c> TYPE public.token_text",
)
by_code("column default", "ALTER TABLE <t> ADD attached text DEFAULT <f>('x')", result="''")
by_code(
    "generated column",
    "ALTER TABLE <t> ADD attached text GENERATED ALWAYS AS (<f>(<c>::text)) STORED",
    result="'x'",
)
by_code("index expression", "CREATE INDEX attached ON <t> (<f>(<c>::text))", result="a")
by_code("index predicate", "CREATE INDEX attached ON <t> (id) WHERE <f>(<c>::text)")
by_code(
    "exclusion constraint",
    "ALTER TABLE <t> ADD CONSTRAINT attached EXCLUDE USING btree (<f>(<c>::text) WITH =)",
    result="a",
)
by_code(
    "extended statistics",
    "CREATE STATISTICS public.attached ON (<f>(<c>::text)), id FROM <t>",
    "ANALYZE <t>",
    result="a",
)
by_code(
    "policy",
    "ALTER TABLE <t> ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY attached ON <t> USING (<f>(<c>::text))",
)


@attack(CODE, "policy with a search path")
def _(play: Play, random: Random) -> None:
    table, column = a_table(random)
    play.sets_its_path = True
    _functions(play, "public", "text", "text", every=True)
    play.run(
        play.platform,
        "CREATE FUNCTION public.attached(a text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM set_config('search_path', 'public, pg_catalog', false); RETURN true; END $$",
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY attached ON {table} USING (public.attached({column}::text))",
    )


by_code("rule that does more", "CREATE RULE attached AS ON UPDATE TO <t> DO ALSO SELECT <f>(NEW.<c>::text)")
by_platform(CODE, "trigger before a row", *trigger("attached", EACH, "<do>"))
by_platform(
    *(CODE, "trigger after a statement"),
    *trigger("attached", AFTER.replace("ROW", "STATEMENT"), "<do>", result="NULL"),
)
by_platform(CODE, "constraint trigger at COMMIT", *trigger("attached", AT_COMMIT, "<do>"))
by_platform(
    *(CODE, "view in place of a table"),
    function("public.attached", "a text", "text", "a", do="<do>"),
    "ALTER TABLE <t> RENAME TO behind",
    """DO $do$ BEGIN EXECUTE (SELECT 'CREATE VIEW public.<t> AS SELECT ' || string_agg(CASE column_name
        WHEN '<c>' THEN 'public.attached(<c>::text) AS <c>' ELSE column_name END, ', '
        ORDER BY ordinal_position) || ' FROM behind' FROM information_schema.columns
        WHERE table_name = 'behind' AND table_schema = 'public'); END $do$""",
    *trigger(
        "instead",
        "TRIGGER <name> INSTEAD OF UPDATE ON <t> FOR EACH ROW",
        "UPDATE behind SET <c> = NEW.<c> WHERE id = OLD.id;",
    ),
    "GRANT SELECT, UPDATE ON <t> TO <operator>",
)
by_platform(
    *(CODE, "partition with a trigger"),
    "ALTER TABLE <t> RENAME TO part",
    "CREATE TABLE public.<t> (LIKE part INCLUDING DEFAULTS) PARTITION BY RANGE (id)",
    "ALTER TABLE <t> ATTACH PARTITION part DEFAULT",
    "ALTER TABLE <t> ADD PRIMARY KEY (id)",
    *trigger("attached", EACH.replace("<t>", "part"), "<do>"),
    "GRANT SELECT, UPDATE ON <t> TO <operator>",
)
by_platform(
    *(CODE, "trigger on Keydeck's own tables"),
    "CREATE PUBLICATION attached FOR TABLE <t> WHERE (id IS NOT NULL)",
    "CREATE TRIGGER attached BEFORE INSERT ON keydeck.journal FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
)


# ---- WRITTEN

SHORT = "substr(NEW.<c>, 1, 40)"
by_platform(WRITTEN, "trigger that shortens", *trigger("altered", EACH, f"NEW.<c> := {SHORT};"))
by_platform(
    *(WRITTEN, "trigger that shortens afterwards"),
    *trigger(
        "altered",
        AFTER,
        f"IF pg_trigger_depth() < 2 THEN UPDATE <t> SET <c> = {SHORT} WHERE id = NEW.id; END IF;",
    ),
)
by_platform(
    *(WRITTEN, "constraint trigger that defers itself anew"),
    *trigger(
        "altered",
        AT_COMMIT,
        # Of each row the first time puts itself off until COMMIT, where the second one writes.
        "PERFORM set_config('adversary.r' || md5(NEW.id::text), "
        "coalesce(current_setting('adversary.r' || md5(NEW.id::text), true), '') || 'i', true);"
        " CASE current_setting('adversary.r' || md5(NEW.id::text))"
        " WHEN 'i' THEN SET CONSTRAINTS ALL DEFERRED; UPDATE <t> SET <c> = <c> WHERE id = NEW.id;"
        f" WHEN 'ii' THEN UPDATE <t> SET <c> = {SHORT} WHERE id = NEW.id;"
        " ELSE NULL; END CASE;",
    ),
)
by_platform(WRITTEN, "trigger that puts back", *trigger("altered", EACH, "NEW.<c> := OLD.<c>;"))
by_platform(WRITTEN, "rule that does nothing", "CREATE RULE n AS ON UPDATE TO <t> DO INSTEAD NOTHING")
by_platform(
    *(WRITTEN, "trigger that keeps a history", "CREATE SCHEMA hidden"),
    "CREATE TABLE hidden.kept (was text)",
    "CREATE FUNCTION public.kept() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
    " $$ BEGIN INSERT INTO hidden.kept VALUES (OLD.<c>); RETURN NEW; END $$",
    "CREATE TRIGGER kept BEFORE UPDATE ON <t> FOR EACH ROW EXECUTE FUNCTION public.kept()",
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


@attack(READER, "value spelt otherwise")
def _(play: Play, random: Random) -> None:
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


@attack(READER, "document in another encoding")
def _(play: Play, random: Random) -> None:
    encoding = random.choice(("utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-8-sig"))
    _documents(play, json.dumps({"bot": random.choice(play.ground.envelopes)}).encode(encoding))


@attack(READER, "envelope as a member's name")
def _(play: Play, random: Random) -> None:
    _documents(play, json.dumps({random.choice(play.ground.envelopes): "x"}).encode())


@attack(READER, "document that is no plain one")
def _(play: Play, random: Random) -> None:
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


@attack(READER, "value that is more than an envelope")
def _(play: Play, random: Random) -> None:
    envelope = random.choice(play.ground.envelopes)
    odd = (f"Bearer {envelope}", json.dumps({"t": envelope}), envelope + envelope, f"v1:{envelope}")
    with suppress(SQLAlchemyError), play.superuser.begin() as connection:
        connection.execute(text("UPDATE slack_connection SET bot_token = :v"), {"v": random.choice(odd)})


# ---- UNREAD

GRANTED = "GRANT SELECT ON public.notes TO <operator>"


SETTINGS = (
    *("standard_conforming_strings = off", "quote_all_identifiers = on", "transform_null_equals = on"),
    *("bytea_output = escape", "array_nulls = off", "DateStyle = 'SQL, DMY'", "IntervalStyle = sql_standard"),
    *("extra_float_digits = -15", "TimeZone = 'Pacific/Kiritimati'", "xmloption = document"),
    *("row_security = off", "default_transaction_isolation = serializable", "constraint_exclusion = on"),
    *("default_transaction_read_only = on", "client_encoding = SQL_ASCII", "lc_messages = 'C'"),
    *("plan_cache_mode = force_generic_plan", "enable_seqscan = off", "statement_timeout = 900"),
)


by_platform(
    *(UNREAD, "needle among many rows", "CREATE TABLE public.notes (id int, body text)"),
    "INSERT INTO public.notes SELECT i, repeat(md5(i::text), 3) FROM generate_series(1, 30000) i",
    tuple(f"UPDATE public.notes SET body = '<envelope>' WHERE id = {n}" for n in range(1, 30_000, 97)),
    *(GRANTED, "ANALYZE public.notes"),
)


@attack(PATH, "setting of the database")
def _(play: Play, random: Random) -> None:
    envelope, settings = random.choice(play.ground.envelopes), random.sample(SETTINGS, 3)
    play.run(
        play.platform,
        "CREATE TABLE public.notes (id int, body text)",
        # A document whose first letter is written by its number.
        f"""INSERT INTO public.notes SELECT 1, concat('{{"t": "', chr(92), 'u0064{envelope[1:]}"}}')""",
        GRANTED.replace("<operator>", play.ground.operator.name),
        *(f"ALTER DATABASE {play.name} SET {setting}" for setting in settings),
    )


by_platform(
    *(UNREAD, "needle in a long value", "CREATE TABLE public.notes (id int, body text)"),
    tuple(
        f"INSERT INTO public.notes VALUES (1, repeat('x ', {before}) || '<envelope>')"
        for before in (5_000, 25_000, 400_000)
    ),
    GRANTED,
)
by_platform(
    *(UNREAD, "type that is no text"),
    tuple(
        f"CREATE TABLE public.notes AS SELECT 1 AS id, {value}::{type_} AS body"
        for type_, value in (
            ("text[]", "ARRAY['', '<envelope>']"),
            ("jsonb", """'{"a": ["<envelope>"]}'"""),
            ("json", """'{"<envelope>": 1}'"""),
            ("bytea", "convert_to('<envelope>', 'UTF8')"),
            ("bytea", "(convert_to('<envelope>', 'LATIN1') || '\\x00'::bytea)"),
            ("xml", "xmlelement(name t, '<envelope>')"),
            ("bpchar(2000)", "'<envelope>'"),
            ("varchar", "'<envelope>'"),
            ("tsvector", "'<envelope>'"),
            ("name", "left('<envelope>', 40)"),
            ("jsonpath", """'$."<envelope>"'"""),
        )
    ),
    GRANTED,
)
for own, make, value in (
    ("composite type", "TYPE public.own AS (n int, t text)", "ROW(1, '<envelope>')::public.own"),
    ("domain", "DOMAIN public.own AS text", "'<envelope>'"),
    ("domain of an array", "DOMAIN public.own AS text[]", "ARRAY['<envelope>']"),
    ("range", "TYPE public.own AS RANGE (subtype = text)", "public.own('<envelope>', 'z<envelope>')"),
):
    by_platform(
        *(UNREAD, f"{own} of the platform's", f"CREATE {make}"),
        "CREATE TABLE public.notes (id int, body public.own)",
        f"INSERT INTO public.notes VALUES (1, {value})",
        GRANTED,
    )
by_platform(
    *(UNREAD, "table that the operator may not read", "CREATE SCHEMA hidden"),
    tuple(
        f"CREATE {kind} hidden.kept AS SELECT '<envelope>'::text AS body"
        for kind in ("TABLE", "MATERIALIZED VIEW")
    ),
)
by_platform(
    *(UNREAD, "inheritance child", "CREATE SCHEMA hidden"),
    "CREATE TABLE hidden.child () INHERITS (public.slack_connection)",
    "INSERT INTO hidden.child (id, org_id, team_id, bot_token, created_at, updated_at)"
    " VALUES (9001, 'o', 't', '<envelope>', now(), now())",
)
by_platform(UNREAD, "large object", "SELECT lo_from_bytea(0, convert_to('<envelope>', 'UTF8'))")


@attack(UNREAD, "policy that hides rows")
def _(play: Play, random: Random) -> None:
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


@attack(UNREAD, "view without the rows")
def _(play: Play, random: Random) -> None:
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


@attack(OPEN, "open transaction")
def _(play: Play, random: Random) -> None:
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


def _journal(play: Play, action: str, subject: str, detail: str, actor: str) -> None:
    statement = "SELECT keydeck.append_to_journal(:actor, 'host', :action, :subject, 'done', :detail)"
    try:
        execute(play.other, statement, actor=actor, action=action, subject=subject, detail=detail)
    except Exception as error:  # noqa: BLE001  # a refusal is an answer
        play.notes.append(str(error).partition("\n")[0][:200])


ACTIONS = (
    *sorted({operation.journaled_as for operation in OPERATIONS}),
    *("journal checkpoint", "approvals use", "approvals approve", "approvals request", "evidence purge"),
    *("evidence record", "tripwire add", "incident run", "incident done", "accepted-loss", "accept losses"),
)


@attack(WITNESS, "entry with the thief as actor")
def _(play: Play, random: Random) -> None:
    action = random.choice(("status", "keys show", "reencrypt", "approvals approve"))
    _journal(play, action, "x", "{}", f"{THIEF}, {play.ground.operator.name}")


@attack(WITNESS, "entry with garbage")
def _(play: Play, random: Random) -> None:
    detail = random.choice(
        ("", "{", "[]", "null", "0", '{"a": "' + "x" * 5000 + '"}', "\\u0000", '{"run": []}')
    )
    _journal(play, random.choice(ACTIONS), random.choice(("", "x", "journal")), detail, "ben")


@attack(WITNESS, "entry that steers")
def _(play: Play, random: Random) -> None:
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
    subject = random.choice((old, "1", "journal", "x"))
    _journal(play, random.choice(ACTIONS), subject, json.dumps(detail), "ben")


@attack(ROWS, "statement in schema keydeck")
def _(play: Play, random: Random) -> None:
    rows = Rows(play.superuser)
    deeds = {deed: may for deed, may in deeds_of(play.other, rows.tables).items() if "keydeck" in deed.place}
    for _ in range(random.choice((1, 3, 8))):
        deed = random.choice(sorted(deeds, key=str))
        for statement, _ in rows.statements(deed, deeds[deed], each=random.random() < 0.5):
            play.run(play.other, statement)


@attack(ROWS, "answers of KMS")
def _(play: Play, random: Random) -> None:
    play.keydeck("status")
    play.run(
        play.other,
        f"UPDATE keydeck.key_answer SET key_arn = '{play.ground.new}'",
        "INSERT INTO keydeck.sweep (taken_at, taken_by, shape, complete, report)"
        " SELECT now(), taken_by, shape, true, report FROM keydeck.sweep LIMIT 1",
    )


@attack(ROWS, "decoy list")
def _(play: Play, random: Random) -> None:
    envelope = random.choice(play.ground.envelopes)
    play.run(
        play.other,
        f"INSERT INTO keydeck.tripwire VALUES (1, 1, '{envelope}', 1)",
        f"SELECT keydeck.write_tripwire_list('ben', 'host', 'tripwire 1', 1, '{envelope}', '{{}}')",
        f"UPDATE keydeck.tripwire SET document = '{envelope}'",
    )


@attack(ROWS, "approval decided by SQL")
def _(play: Play, random: Random) -> None:
    play.run(
        play.other,
        "UPDATE keydeck.approval SET decision = 'approved', decided_at = now() - interval '150 days',"
        f" decided_by = '{BEN}', decided_parts = parts, digest = digest",
    )
    if random.random() < 0.5:
        _journal(play, "approvals approve", play.notes[0] if play.notes else "x", "{}", BEN)


# ---- IMPORTED


def _imported(play: Play, *records: dict[str, Any]) -> None:
    path = play.ground.folder / f"{play.name}-{len(records)}.json"
    path.write_text(json.dumps({"Records": records}))
    play.keydeck("events", "import", str(path))


def _record(name: str, key: str, who: dict[str, str], at: datetime, number: int, **request: Any) -> Any:
    return record(
        *(name,),
        who={**who, "accountId": "123456789012"},
        eventTime=at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        requestParameters={"keyId": key, **request},
        requestID=f"00000000-0000-0000-0001-{number:012}",
        eventID=f"00000000-0000-0000-0002-{number:012}",
        resources=[{"ARN": key, "accountId": "123456789012", "type": "AWS::KMS::Key"}],
        managementEvent=True,
        recipientAccountId="123456789012",
    )


@attack(IMPORTED, "event that nobody delivered")
def _(play: Play, random: Random) -> None:
    operation = random.choice(("Sign", "GenerateDataKeyWithoutPlaintext", "Encrypt"))
    ben = {"type": "AssumedRole", "principalId": "AROAX:ben", "arn": BEN}
    asked = {"keydeck:request": play.notes[0] if play.notes else "x"}
    at = datetime(2026, 12, 1, tzinfo=UTC)
    more: dict[str, Any] = {"signingAlgorithm": "ECDSA_SHA_256", "encryptionContext": asked}
    _imported(play, _record(operation, play.ground.new, ben, at, 1, **more))


@attack(IMPORTED, "events that call the thief the platform")
def _(play: Play, random: Random) -> None:
    """The thief makes most data keys, and did so for weeks, says a file."""
    thief = {"type": "IAMUser", "principalId": "AIDAX", "arn": THIEF, "userName": "intruder"}
    thief["accessKeyId"] = access_keys.INTRUDER
    begun = datetime.now(UTC) - timedelta(days=10)
    _imported(
        play,
        *(
            _record(
                "GenerateDataKey", play.ground.old, thief, begun + timedelta(hours=n), n, keySpec="AES_256"
            )
            for n in range(60)
        ),
    )
