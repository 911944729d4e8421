"""Proposals: what can be described is proposed as the settings take it; of the rest it is said why not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from console.setting_parts import TableSettings
from crypto_core.database.tokens.sweep.proposals import propose
from crypto_core.database.tokens.sweep.results import FoundColumn, FoundTable, Sweep
from crypto_core.database.tokens.tables import PLATFORM_TABLES
from crypto_core.values.json_records import record_of

COLUMN = FoundColumn("token", "text", {"v1": 3}, begins=3, documents=0, rows=3)
TABLE = FoundTable("public", "notes", "table", True, "id", "integer", ("name", "org_id"), (COLUMN,))


def sweep(table: FoundTable) -> Sweep:
    moment = datetime(2026, 5, 1, tzinfo=UTC)
    return Sweep(moment, "operator", False, 0.1, 1, 1, "1/2", frozenset(), (table,))


def proposed(table: FoundTable) -> Any:
    (proposal,) = propose(sweep(table), PLATFORM_TABLES)
    return proposal


def test_an_entry_is_what_the_settings_take() -> None:
    entry = proposed(TABLE).entry
    assert entry == {
        "name": "notes",
        "id": "id",
        "id_kind": "integer",
        "token_columns": ["token"],
        "shown": ["name", "org_id"],
        "provider": "other",
        "organisation": "org_id",
    }
    assert TableSettings(**entry).table().token_columns == ("token",)


@pytest.mark.parametrize(
    ("type_", "begins", "documents", "kind"),
    [
        ("text", 3, 0, "plain"),
        ("character varying(4000)", 3, 0, "plain"),
        ("character(400)", 2, 1, "plain"),
        ("text", 0, 3, "documents"),
        ("bytea", 0, 3, "documents"),
        ("bytea", 3, 0, "plain"),
        ("bytea", 3, 1, "documents"),
        ("jsonb", 3, 0, "plain"),
        ("json", 0, 3, "documents"),
        ("jsonb", 0, 3, "documents"),
        ("jsonb", 0, 0, "none"),
        ("text", 0, 0, "none"),
        ("text[]", 0, 3, "none"),
        ("hstore", 0, 0, "none"),
    ],
)
def test_a_column_is_proposed_as_what_its_values_are(
    type_: str, begins: int, documents: int, kind: str
) -> None:
    column = replace(COLUMN, type=type_, begins=begins, documents=documents)
    proposal = proposed(replace(TABLE, columns=(column,)))
    if kind == "none":
        assert proposal.entry is None
        assert proposal.left_out == (f"notes.token ({type_}): the settings have no words for such tokens.",)
        return
    assert proposal.left_out == ()
    made = TableSettings(**proposal.entry).table()
    assert made.documents == (frozenset({"token"}) if kind == "documents" else frozenset())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": "materialised view"}, "is a materialised view"),
        ({"kind": "foreign table"}, "is a foreign table"),
        ({"name": 'no"te'}, "a name of letters, digits and underscores"),
        ({"id_column": None}, "no column that names one row"),
    ],
    ids=str,
)
def test_what_cannot_be_described_is_told_with_the_reason(change: dict[str, Any], why: str) -> None:
    proposal = proposed(replace(TABLE, **change))
    assert proposal.entry is None
    assert why in proposal.left_out[0]


def elsewhere(schema: str, **changes: Any) -> FoundTable:
    return replace(TABLE, schema=schema, visible=False, **changes)


def entries(*tables: FoundTable) -> list[tuple[Any, ...]]:
    found = replace(sweep(TABLE), found=tables)
    told = [p.entry for p in propose(found, PLATFORM_TABLES)]
    for entry in told:
        TableSettings.model_validate(entry)
    return [(e["name"], e.get("schema"), *e.get("token_columns", ())) for e in told]


def test_a_table_elsewhere_is_proposed_with_its_schema_and_what_is_alike_with_a_pattern() -> None:
    other = replace(COLUMN, name="other")
    assert entries(TABLE, elsewhere("a")) == [("notes", None, "token"), ("notes", "a", "token")]
    alike = [elsewhere(f"tenant_{n}_live") for n in ("a", "b2", "c")]
    assert entries(*alike) == [("notes", "tenant_*_live", "token")]
    assert entries(*alike, elsewhere("tenant_d", columns=(other,))) == [
        ("notes", "tenant_*_live", "token"),
        ("notes", "tenant_d", "other"),
    ]
    for pattern, names in {
        "tenant_*": ("tenant_1", "tenant_12"),
        "*_prod": ("a_prod", "b_prod"),
        "tenant*": ("tenant1", "tenant12"),
    }.items():
        assert entries(*map(elsewhere, names)) == [("notes", pattern, "token")]
    assert entries(elsewhere("a"), elsewhere("b")) == [("notes", "a", "token"), ("notes", "b", "token")]
    built_in = {"name": "gh_connection", "columns": (replace(COLUMN, name="access_token"),)}
    assert entries(elsewhere("t_1", **built_in), elsewhere("t_2", **built_in)) == [("gh_connection", "t_*")]
    unlike = built_in | {"columns": (COLUMN,)}
    assert entries(elsewhere("t_1", **unlike)) == [("gh_connection", "t_1", "token")]
    assert entries(elsewhere("t_1", **built_in, id_column="number"))[0][1:] == ("t_1", "access_token")
    assert propose(sweep(elsewhere("a", columns=(replace(COLUMN, name="to.ken"),))), ())[0].entry is None


def test_an_entry_names_all_columns_of_a_primary_key() -> None:
    found = sweep(replace(TABLE, id_column=("tenant", "number")))
    assert record_of(Sweep, found.as_json()) == found
    entry = proposed(found.found[0]).entry
    assert entry["id"] == ["tenant", "number"]
    assert TableSettings(**entry).table().id_columns == ("tenant", "number")


def test_an_entry_of_a_known_table_keeps_what_is_known_of_it() -> None:
    (connectors,) = (table for table in PLATFORM_TABLES if table.name == "connectors")
    entry = proposed(replace(TABLE, name="connectors")).entry
    assert entry["token_columns"] == [*connectors.token_columns, "token"]
    assert entry["documents"] == ["secret_json"]
    assert entry["shown"] == list(connectors.shown)
    TableSettings(**entry)


@pytest.mark.parametrize(
    ("name", "kinds", "provider"),
    [
        ("gh_backup", {"v1": 1}, "github"),
        ("old_slack_tokens", {"v1": 1}, "slack"),
        ("notes", {"slack": 1}, "slack"),
        ("notes", {"slack": 1, "github": 1}, "other"),
    ],
)
def test_the_provider_is_what_tokens_or_the_name_tell(
    name: str, kinds: dict[str, int], provider: str
) -> None:
    column = replace(COLUMN, kinds=kinds)
    assert proposed(replace(TABLE, name=name, columns=(column,))).entry["provider"] == provider
