"""SQL whose names mean PostgreSQL's own objects on any search path (CVE-2018-1058).

SQLAlchemy's statements are qualified as they are compiled, text as it is made: functions, types and
collations without a schema are pg_catalog's. The grammar's own syntax needs none.
"""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, Text, TextClause
from sqlalchemy.dialects.postgresql.base import PGCompiler, PGTypeCompiler

SYNTAX = frozenset(
    "all and any array as between by case cast coalesce cube distinct else except exists extract filter from"  # noqa: SIM905
    " greatest in intersect interval is lateral least like not nullif on or over overlay position references"
    " rollup row select set some substring then trim union using values when where with".split()
)
"""May stand before a parenthesis, and is no function that the search path finds."""
TYPES = frozenset(
    "bool bpchar bytea cidr date float4 float8 inet int2 int4 int8 json jsonb name oid regclass regnamespace"  # noqa: SIM905
    " regproc regrole regtype text tid timestamptz tsvector uuid xid xml".split()
)
"""Found by the search path; other names, such as bigint, are syntax."""

_NAMES = re.compile(
    r"""(?P<kept>\bE'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$
        |--[^\n]*|(?<![:\w\\]):\w+|\bAS\s+\w+\()
    |(?P<function>(?<![\w.$:])[a-z_]\w*(?=\())
    |(?P<before>::\s*|\bAS\s+)(?P<type>[a-z]\w*)(?P<after>(?:\[\])*(?:\s*\))?)
    |(?P<collate>\bCOLLATE\s+)(?=")
    |(?P<from>\b(?:FROM|JOIN)\s+)(?P<relation>pg_\w+)(?![\w(.])""",
    re.VERBOSE | re.DOTALL,
)
_SIGNS = re.compile(r"[(),[\]]")
_OF_A_CTE = re.compile(r" AS (MATERIALIZED )?\(")


def qualified(sql: str) -> str:
    """Return SQL in which PostgreSQL's functions, types, collations and relations have their schema.

    A type follows :: or stands last in a CAST; keywords are in capitals, and a function's parenthesis follows
    its name at once.
    """
    return _NAMES.sub(_qualified, sql)


def _qualified(found: re.Match[str]) -> str:
    if found["function"] and found["function"] not in SYNTAX and not _is_syntax(found):
        return f"pg_catalog.{found[0]}"
    is_type = found["type"] in TYPES and ("::" in found["before"] or _is_cast(found))
    if found["collate"]:
        return f"{found[0]}pg_catalog."
    if is_type:
        return f"{found['before']}pg_catalog.{found['type']}{found['after']}"
    return f"{found['from']}pg_catalog.{found['relation']}" if found["relation"] else found[0]


def _is_cast(found: re.Match[str]) -> bool:
    """Whether the type stands last in a CAST, and isn't the alias of a subquery's last column."""
    depth, ahead = 0, found.string[: found.start()]
    for place in range(len(ahead) - 1, -1, -1):
        depth += {")": 1, "]": 1, "(": -1, "[": -1}.get(ahead[place], 0)
        if depth < 0:
            return found["after"].endswith(")") and ahead[:place].upper().endswith("CAST")
    return False


def _is_syntax(found: re.Match[str]) -> bool:
    """True for a CTE's name with its columns, and for unnest of several arrays.

    The latter is a function only without a schema.
    """
    depth = 0
    for sign in _SIGNS.finditer(found.string, found.end()):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(sign[0], 0)
        if sign[0] == "," and depth == 1 and found["function"] == "unnest":
            return True
        if depth == 0:
            return sign[0] == ")" and _OF_A_CTE.match(found.string, sign.end()) is not None
    return False


def text(sql: str) -> TextClause:
    """`sqlalchemy.text`, qualified."""
    return sqlalchemy.text(qualified(sql))


def run_as_it_is(connection: Connection, sql: str) -> Any:
    """Run a statement in which % and : mean themselves."""
    return connection.exec_driver_sql(qualified(sql), execution_options={"no_parameters": True})


def qualify(engine: Engine) -> None:
    engine.dialect.statement_compiler = _Compiler
    engine.dialect.type_compiler_instance = _TypeCompiler(engine.dialect)


class Printed(Text):
    """The type of a column whose own isn't PostgreSQL's: cast to text, PostgreSQL prints it.

    A type's owner may have made a cast of it, and its operators.
    """


class _Compiler(PGCompiler):
    def visit_cast(self, cast: Any, **named: Any) -> str:
        if not isinstance(cast.clause.type, Printed):
            return str(super().visit_cast(cast, **named))  # type: ignore[no-untyped-call]
        value = self.process(cast.clause, **named)
        return f"CASE WHEN {value} IS NULL THEN NULL ELSE pg_catalog.concat({value}) END"

    def visit_function(self, func: Any, *arguments: Any, **named: Any) -> str:
        written: str = super().visit_function(func, *arguments, **named)
        name = func.name.lower()
        own = not func.packagenames and name not in SYNTAX and (name != "unnest" or len(func.clauses) == 1)
        return f"pg_catalog.{written}" if own else written

    def visit_collation(self, element: Any, **_: Any) -> str:
        # Releases of SQLAlchemy that know a collation's schema keep it apart; none here has one.
        return f"pg_catalog.{self.preparer.quote_identifier(element.collation)}"

    def visit_column(self, column: Any, *arguments: Any, **named: Any) -> str:
        written: str = super().visit_column(column, *arguments, **named)
        return qualified(written) if column.is_literal else written


class _TypeCompiler(PGTypeCompiler):
    def process(self, type_: Any, **named: Any) -> str:
        written: str = super().process(type_, **named)
        return f"pg_catalog.{written.lower()}" if written.partition("[")[0].lower() in TYPES else written
