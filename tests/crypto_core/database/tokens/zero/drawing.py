"""Draws what a database may be like where the question is whether anything is left under a key.

Each way of `WAYS` changes the platform's database in one respect: what holds a token, who may see it, what
stands under the same name, what happens to a value that is written. A draw is some of them together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Literal

from console.setting_parts import TableSettings

TEXTS = ("text", "varchar(4000)", "bytea", "json", "jsonb")
HOLDERS = (*TEXTS, "text[]", "bytea[]", "jsonb[]", "xml", "drawn_text", "drawn_row", "drawn_array")
"""Types of columns that can hold a token; the last three are made for a draw: a domain, a row, an array."""
TOKEN_COLUMNS = (
    ("gh_connection", "access_token"),
    ("gh_connection", "refresh_token"),
    ("jira_connection", "access_token"),
    ("slack_connection", "bot_token"),
    ("confluence_connection", "access_token"),
    ("connectors", "secret_json"),
    ("mcp_servers", "secret_json"),
)
ROW_OF = {
    "connectors": "(user_id, provider, name, secret_json, created_at) VALUES ('u', 'slack', 'n', {}, now())",
    "mcp_servers": "(name, url, user_id, org_id, auth_type, secret_json, created_at) "
    "VALUES ('n', 'https://x', 'u', 'o', 'oauth', {}, now())",
    "slack_connection": "(org_id, team_id, bot_token, created_at, updated_at) "
    "VALUES ('o', 't', {}, now(), now())",
    "gh_connection": "(id, org_id, user_id, access_token, token_type, scopes, created_at) "
    "VALUES ('drawn-' || gen_random_uuid(), 'o', 'u', {}, 'oauth', '[]', now())",
}


@dataclass(slots=True)
class Draw:
    """One database: the SQL that makes it, as its superuser, and the tables that the settings describe.

    `old` are envelopes under the key in question, `new` others. `role` is who asks.
    """

    random: Random
    role: str
    old: Sequence[str]
    new: Sequence[str]
    ways: tuple[str, ...] = ()
    statements: list[str] = field(default_factory=list)
    tables: list[TableSettings] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def add(self, *statements: str) -> None:
        """Add SQL."""
        self.statements += statements

    def chance(self, probability: float) -> bool:
        """True as often as that."""
        return self.random.random() < probability

    def envelope(self) -> str:
        """A stored value, mostly one under the key."""
        return self.random.choice(self.old if self.chance(0.75) else self.new)

    def name(self, stem: str) -> str:
        """A name that nothing else has."""
        return f"{stem}_{next(self.numbers)}"

    def grant(self, table: str, *, sure: bool = False) -> None:
        """Let the role read and write the table, or see some of it, or nothing."""
        schema, _, _ = table.rpartition(".")
        if schema and (sure or self.chance(0.8)):
            self.add(f"GRANT USAGE ON SCHEMA {schema} TO {self.role}")
        if sure or self.chance(0.7):
            self.add(f"GRANT SELECT, UPDATE ON {table} TO {self.role}")
        elif self.chance(0.5):
            self.add(f"GRANT SELECT (id) ON {table} TO {self.role}")


def literal(value: str, type_: str) -> str:
    """A value, or a document that has one, as SQL of a type."""
    quoted = "'" + value.replace("'", "''") + "'"
    as_bytes = f"convert_to({quoted}, 'UTF8')"
    return {
        "bytea": as_bytes,
        "json": f"{quoted}::json",
        "jsonb": f"{quoted}::jsonb",
        "text[]": f"ARRAY['', {quoted}]",
        "bytea[]": f"ARRAY[{as_bytes}]",
        "jsonb[]": f"ARRAY[{quoted}::jsonb]",
        "xml": f"xmlelement(name token, {quoted}::text)",
        "drawn_row": f"ROW(1, {quoted})::drawn_row",
        "drawn_array": f"ARRAY[{quoted}]::drawn_array",
    }.get(type_, f"{quoted}::text")


def written(draw: Draw, type_: str) -> str:
    """What a column of a type holds, as SQL."""
    value = draw.envelope()
    if type_ in ("json", "jsonb", "jsonb[]") or (type_ in TEXTS and draw.chance(0.4)):
        value = document(draw, value)
    return literal(value, type_)


def document(draw: Draw, value: str) -> str:
    """A JSON document with the value somewhere in it."""
    name = draw.random.choice(("token", "", 'quo"te', "ünï", "a.b", "#", "%23", "n" * 300))
    shape: object = draw.random.choice(
        (
            {name: value},
            {name: value, "other": draw.envelope(), "n": 1, "none": None},
            {name: {"deep": [value]}},
            {name: [value]},
            {name: f" {value}\n"},
            [value],
            [{name: value}],
            value,
        )
    )
    told = json.dumps(shape, ensure_ascii=draw.chance(0.5))
    if draw.chance(0.1):
        told = told.replace("djF8", "\\u0064jF8")
    if isinstance(shape, dict) and draw.chance(0.1):
        told = told[:-1] + f", {json.dumps(name)}: {json.dumps(draw.envelope())}}}"
    return told


def a_document(draw: Draw) -> None:
    """A document in one of the platform's own secrets columns."""
    table = draw.random.choice(("connectors", "mcp_servers"))
    value = literal(document(draw, draw.envelope()), "bytea")
    if draw.chance(0.15):
        value = f"'\\xff00'::bytea || {value}"
    draw.add(f"INSERT INTO {table} {ROW_OF[table].format(value)}")


def an_odd_value(draw: Draw) -> None:
    """A value in a token column that is more than an envelope."""
    table, value = draw.random.choice(("slack_connection", "gh_connection")), draw.envelope()
    odd = draw.random.choice(
        (
            *(f" {value}", f"{value}\n", f"Bearer {value}", f"v1:{value}", json.dumps({"t": value})),
            *(value + value, draw.random.choice(draw.new) + value, f"{draw.random.choice(draw.new)} {value}"),
        )
    )
    draw.add(f"INSERT INTO {table} {ROW_OF[table].format(literal(odd, 'text'))}")


def a_column(draw: Draw) -> None:
    """Another column in a table of the platform."""
    table, _ = draw.random.choice(TOKEN_COLUMNS)
    type_, column = draw.random.choice(HOLDERS), draw.name("kept")
    draw.add(f"ALTER TABLE {table} ADD {column} {type_}")
    draw.add(f"UPDATE {table} SET {column} = {written(draw, type_)}")


def a_table(draw: Draw) -> None:
    """Another table, of whatever kind, in whatever schema, under whatever name."""
    schema = draw.random.choice(("", draw.name("drawn")))
    name = draw.random.choice(("gh_connection", "connectors", "notes", '"odd ""name"', '"per%cent"'))
    if not schema:
        schema, name = "public", draw.name("kept")
    else:
        draw.add(f"CREATE SCHEMA {schema}")
    table, type_ = f"{schema}.{name}", draw.random.choice(HOLDERS)
    column, value = draw.random.choice(("access_token", "secret_json", "body")), written(draw, type_)
    columns = f"id int, {column} {type_}"
    match draw.random.choice(("table", "table", "partitioned", "child", "view", "unlogged")):
        case "partitioned":
            draw.add(f"CREATE TABLE {table} ({columns}) PARTITION BY RANGE (id)")
            part = f"{schema}.{draw.name('part')}"
            draw.add(f"CREATE TABLE {part} PARTITION OF {table} FOR VALUES FROM (0) TO (9)")
            draw.add(f"INSERT INTO {table} VALUES (1, {value})")
        case "child":
            child = f"{schema}.{draw.name('child')}"
            draw.add(f"CREATE TABLE {table} ({columns})", f"CREATE TABLE {child} () INHERITS ({table})")
            draw.add(f"INSERT INTO {child} VALUES (1, {value})")
        case "view":
            draw.add(f"CREATE MATERIALIZED VIEW {table} AS SELECT 1 AS id, {value} AS {column}")
            schema = ""
        case kind:
            unlogged = "UNLOGGED " if kind == "unlogged" else ""
            draw.add(
                f"CREATE {unlogged}TABLE {table} ({columns})", f"INSERT INTO {table} VALUES (1, {value})"
            )
            if draw.chance(0.3):
                draw.add(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    draw.grant(table)


def a_described_table(draw: Draw) -> None:
    """Another table that the settings describe, or one in each of some schemas; it may hold documents."""
    type_, name = draw.random.choice(TEXTS), draw.name("described")
    documents = draw.chance(0.6)
    schemas = [draw.name(name) for _ in range(draw.random.choice((0, 0, 1, 2)))]
    kind: Literal["text", "integer"] = draw.random.choice(("text", "integer"))
    for schema in schemas or ["public"]:
        table = f"{schema}.{name}"
        draw.add(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        draw.add(f"CREATE TABLE {table} (id {kind} PRIMARY KEY, secret {type_}, note text)")
        for number in range(draw.random.randrange(1, 4)):
            value = document(draw, draw.envelope()) if documents else draw.envelope()
            value = json.dumps(value) if type_.startswith("json") and not documents else value
            draw.add(f"INSERT INTO {table} VALUES ('{number}', {literal(value, type_)}, 'x')")
        draw.grant(table, sure=draw.chance(0.8))
    draw.tables.append(
        TableSettings(
            name=name,
            schema=f"{name}_*" if schemas else None,
            id_kind=kind,
            token_columns=("secret",),
            documents=("secret",) if documents else (),
        )
    )


def a_child(draw: Draw) -> None:
    """Rows of a table of the platform that stand in a child of it, elsewhere."""
    schema, table = draw.name("drawn"), draw.random.choice(("slack_connection", "connectors"))
    value = literal(draw.envelope(), "text") if table == "slack_connection" else ""
    value = value or literal(json.dumps({"t": draw.envelope()}), "bytea")
    draw.add(f"CREATE SCHEMA {schema}", f"CREATE TABLE {schema}.child () INHERITS ({table})")
    draw.add(f"ALTER TABLE {schema}.child ALTER id SET DEFAULT 7001")
    draw.add(f"INSERT INTO {schema}.child {ROW_OF[table].format(value)}")


def a_policy(draw: Draw) -> None:
    """Row-level security on a table of the platform, with or without rows that the role sees."""
    table, _ = draw.random.choice(TOKEN_COLUMNS)
    draw.add(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    if draw.chance(0.7):
        seen = draw.random.choice(("true", "false", "length(id::text) > 4"))
        for command in draw.random.choice((("ALL",), ("SELECT", "UPDATE"), ("SELECT",))):
            draw.add(f"CREATE POLICY {draw.name('p')} ON {table} FOR {command} TO {draw.role} USING ({seen})")


def a_missing_right(draw: Draw) -> None:
    """A table or column that the role may not read, or not write."""
    table, column = draw.random.choice(TOKEN_COLUMNS)
    match draw.random.choice(("all", "write", "column")):
        case "all":
            draw.add(f"REVOKE ALL ON {table} FROM {draw.role}")
        case "write":
            draw.add(f"REVOKE UPDATE ON {table} FROM {draw.role}")
        case _:
            draw.add(
                f"REVOKE ALL ON {table} FROM {draw.role}", f"GRANT SELECT (id) ON {table} TO {draw.role}"
            )
            draw.add(f"GRANT UPDATE ({column}) ON {table} TO {draw.role}")


def a_shadow(draw: Draw) -> None:
    """A schema with the role's name, which comes first in its search path, with a table in it."""
    table, _ = draw.random.choice(TOKEN_COLUMNS)
    draw.add(f"CREATE SCHEMA IF NOT EXISTS {draw.role}")
    if draw.chance(0.6):
        draw.add(f"CREATE TABLE {draw.role}.{table} (LIKE public.{table} INCLUDING ALL)")
    else:
        some = draw.random.choice(("true", "false", "length(id::text) > 4"))
        draw.add(f"CREATE VIEW {draw.role}.{table} AS SELECT * FROM public.{table} WHERE {some}")
    draw.add(f"GRANT USAGE ON SCHEMA {draw.role} TO {draw.role}")
    draw.add(f"GRANT SELECT, UPDATE ON {draw.role}.{table} TO {draw.role}")


def a_trigger(draw: Draw) -> None:
    """Something that happens to values as they are written, or to those that they replace."""
    table, column = draw.random.choice(TOKEN_COLUMNS)
    name, body, when = draw.name("drawn"), "", "BEFORE UPDATE"
    match draw.random.choice(
        ("back", "skip", "shorten", "late", "history", "hidden history", "rule", "other")
    ):
        case "back":
            body = f"NEW.{column} := OLD.{column};"
        case "skip":
            body = "RETURN NULL;"
        case "shorten":
            body = f"NEW.{column} := substr(NEW.{column}, 1, 300);"
        case "late":
            when = "AFTER UPDATE"
            body = (
                "IF pg_trigger_depth() < 2 THEN "
                f"UPDATE {table} SET {column} = OLD.{column} WHERE id = NEW.id; END IF;"
            )
        case "history" | "hidden history" as kind:
            kept = f"{name}.kept" if kind == "hidden history" else f"{name}_kept"
            if kind == "hidden history":
                draw.add(f"CREATE SCHEMA {name}")
            draw.add(f"CREATE TABLE {kept} (id text, was text, at timestamptz DEFAULT now())")
            if kind == "history" and draw.chance(0.5):
                draw.add(f"GRANT SELECT ON {kept} TO {draw.role}")
            was = f"encode(OLD.{column}, 'escape')" if column == "secret_json" else f"OLD.{column}"
            body = f"INSERT INTO public.{kept} VALUES (OLD.id::text, {was});".replace(
                "public.drawn", f"{'' if kind == 'hidden history' else 'public.'}drawn"
            )
        case "rule":
            draw.add(f"CREATE RULE {name} AS ON UPDATE TO {table} DO INSTEAD NOTHING")
            return
        case _:
            body = "NEW.created_at := now();"
    if draw.chance(0.3):
        body = f"IF length(OLD.id::text) > 3 THEN {body} END IF;"
    draw.add(
        f"CREATE FUNCTION public.{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
        f"AS $$ BEGIN {body} RETURN NEW; END $$"
    )
    deferred = when == "AFTER UPDATE" and draw.chance(0.5)
    kind, late = ("CONSTRAINT TRIGGER", " DEFERRABLE INITIALLY DEFERRED") if deferred else ("TRIGGER", "")
    draw.add(f"CREATE {kind} {name} {when} ON {table}{late} FOR EACH ROW EXECUTE FUNCTION public.{name}()")


def a_width(draw: Draw) -> None:
    """A column that is narrower than other envelopes may be."""
    table, column = draw.random.choice(TOKEN_COLUMNS[:5])
    draw.add(f"ALTER TABLE {table} ALTER {column} TYPE varchar({draw.random.choice((560, 700, 4000))})")


WAYS: tuple[Callable[[Draw], None], ...] = (
    *(a_document, an_odd_value, a_column, a_table, a_described_table, a_child, a_policy),
    *(a_missing_right, a_shadow, a_trigger, a_width),
)


def drawn(random: Random, role: str, old: Sequence[str], new: Sequence[str]) -> Draw:
    """Return a draw of up to four ways."""
    draw = Draw(random, role, old, new)
    ways = random.choices(WAYS, k=random.choice((0, 1, 1, 2, 2, 3, 4)))
    draw.ways = tuple(way.__name__ for way in ways)
    for way in ways:
        way(draw)
    return draw
