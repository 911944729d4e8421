"""Every name in the product's SQL says whose object it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ARRAY, Connection, Date, Engine, LargeBinary, Text, cast, column, event, func, select
from sqlalchemy.dialects import postgresql

import crypto_core
from console.container import Container
from console.sandbox.world import World
from crypto_core.database.qualified_sql import qualified, qualify
from tests.adversary.ground import work
from tests.conftest import Ran

_STRINGS = re.compile(r"E?'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_RELATION = re.compile(
    r"\b(?:FROM|JOIN|INTO|UPDATE(?! SKIP| OF)|USING)\s+(?:ONLY\s+)?\"?([a-z_#][\w#]*)\"?(?![\w\".(])",
    re.IGNORECASE,
)
_FREE = {"lateral", "set", "only", "select", "unnest", "skip", "nowait", "distinct", "current_timestamp"}


def unqualified(sql: str) -> list[str]:
    """What in a statement the search path decides about."""
    found = [] if qualified(sql) == sql else [f"{sql[:2_000]}\n-- should be\n{qualified(sql)[:2_000]}"]
    bare = _STRINGS.sub("''", sql)
    found += re.findall(r"COLLATE (?!pg_catalog\.)\S+", bare)
    if bare.lstrip().upper().startswith(("SET ", "SHOW ", "LOCK ", "GRANT ", "ALTER ", "CREATE ", "DROP ")):
        return found
    for name in _RELATION.findall(bare):
        quoted = re.escape(name)
        cte = rf'\b{quoted}\b"?\s*(?:\([^()]*\)\s*)?AS\s+(?:MATERIALIZED\s+)?\('
        known = rf'(?:{cte}|\bAS\s+"?{quoted}\b|\)\s+"?{quoted}\b)'
        if name.lower() not in _FREE and re.search(known, bare, re.IGNORECASE) is None:
            found.append(f"{name} in {sql[:1_000]}")
    return found


@contextmanager
def statements() -> Iterator[set[str]]:
    """Collect all that is sent in the product's own transactions."""
    sent: set[str] = set()

    def note(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        if getattr(cursor.connection, "pin", ""):
            sent.add(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


_ELSEWHERE = ("trail/store/", "trail/sources/", "trail/parquet/", "database/state/migrations/")
"""SQL of SQLite's, of DuckDB's and of Athena's, and migrations, which are run on the pinned path."""
COMMANDS = (
    ("status",),
    ("status", "--sweep"),
    ("check",),
    ("doctor",),
    ("connections", "--filter", "org:a* -format:dev created>2020 leaked:github"),
    ("connections", "--filter", "ref:gh* key:alias/tokens provider:github", "--csv"),
    ("guard", "--status"),
    ("grants", "operator"),
    ("discover",),
    ("journal", "list"),
    ("journal", "verify"),
    ("verify", "--all"),
    ("backups", "list"),
    ("jobs", "list"),
    ("incident", "list"),
    ("evidence", "record"),
    ("tripwire", "list"),
    ("settings",),
)


@pytest.mark.deep
def test_no_statement_names_what_the_search_path_would_find(
    services: Container, superuser: Engine, keydeck: Callable[..., Ran], world: World
) -> None:
    ref = next(ref for ref in world.sealed_under(world.old_key) if ref.table == "gh_connection")
    with statements() as sent:
        work(services, world, superuser)
        services.sweeps.take_sweep(full=True)
        services.status.prove(in_full=True)
        for command in COMMANDS:
            keydeck(*command)
        keydeck("inspect", str(ref))
        keydeck("reencrypt", "--from", world.old_key.arn, "--to", world.current_key.arn, "--yes")
        keydeck("encrypt", "--plaintext", "--to", world.current_key.arn, "--yes")
        keydeck("keys", "disable", world.old_key.arn, "--dry-run")
    assert len(sent) > 150
    found = [one for statement in sorted(sent) for one in unqualified(statement)]
    assert not found, f"{len(found)}: " + "\n\n".join(found[:12])


def test_text_for_postgresql_is_qualified_where_it_is_made() -> None:
    own = {"database/qualified_sql.py", "database/schema.py", "forensics/provider_logs/store.py"}
    root = Path(crypto_core.__file__).parent
    for file in root.rglob("*.py"):
        name = file.relative_to(root).as_posix()
        imported = re.search(r"^from sqlalchemy import (\([^)]*\)|[^\n]*)", file.read_text(), re.MULTILINE)
        if imported and name not in own and not name.startswith(_ELSEWHERE):
            assert not re.search(r"\btext\b", imported[1]), name


COMPILED = {
    "functions": (select(func.lower(column("a"))), "SELECT pg_catalog.lower(a)"),
    "a function with a schema": (select(func.keydeck.f(column("a"))), "SELECT keydeck.f(a)"),
    "syntax": (select(func.coalesce(column("a"), func.any(column("b")))), "SELECT coalesce(a, any(b))"),
    "types": (
        select(cast(column("a"), Text), cast(column("b"), ARRAY(LargeBinary)), cast(column("c"), Date)),
        (
            "SELECT CAST(a AS pg_catalog.text) AS a, CAST(b AS pg_catalog.bytea[]) AS b, "
            "CAST(c AS pg_catalog.date) AS c"
        ),
    ),
    "collations": (select(column("a").collate("C")), 'SELECT a COLLATE pg_catalog."C" AS anon_1'),
    "one array": (select(func.unnest(column("a"))), "SELECT pg_catalog.unnest(a)"),
    "several arrays": (select(func.unnest(column("a"), column("b"))), "SELECT unnest(a, b)"),
}


@pytest.mark.parametrize(("statement", "expected"), COMPILED.values(), ids=COMPILED)
def test_a_statement_is_qualified_as_it_is_compiled(statement: Any, expected: str) -> None:
    class Compiling:
        dialect = postgresql.dialect()

    engine: Any = Compiling()
    qualify(engine)
    assert str(statement.compile(dialect=engine.dialect)).replace("\n", " ").startswith(expected)


TEXTS = {
    "SELECT now(), x.f(1), 'f(1)', \"f\"(1)": "SELECT pg_catalog.now(), x.f(1), 'f(1)', \"f\"(1)",
    "SELECT a::text[], CAST(b AS bytea), c AS name": (
        "SELECT a::pg_catalog.text[], CAST(b AS pg_catalog.bytea), c AS name"
    ),
    "SELECT FROM pg_class c JOIN pg_a(1) t": "SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_a(1) t",
    "WITH a(b) AS (SELECT unnest(c, d)) SELECT f(b) FROM a": (
        "WITH a(b) AS (SELECT unnest(c, d)) SELECT pg_catalog.f(b) FROM a"
    ),
    "SELECT $x$f(1)$x$, E'\\'f(1)' -- f(1)": "SELECT $x$f(1)$x$, E'\\'f(1)' -- f(1)",
    "FROM unnest(:a) AS one(name) WHERE x IN (1)": ("FROM pg_catalog.unnest(:a) AS one(name) WHERE x IN (1)"),
}


@pytest.mark.parametrize(("given", "expected"), TEXTS.items())
def test_text_is_qualified_but_for_what_is_quoted(given: str, expected: str) -> None:
    assert qualified(given) == expected
    assert qualified(expected) == expected


def test_what_the_test_looks_for_it_finds() -> None:
    assert unqualified("SELECT now()")
    assert unqualified("SELECT a FROM gh_connection")
    assert unqualified('SELECT a COLLATE "C" FROM public.b')
    assert not unqualified("WITH a AS (SELECT 1) SELECT 1 FROM a JOIN public.b ON true")
