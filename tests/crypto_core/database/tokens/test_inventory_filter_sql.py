"""SQL and memory let the same rows through, whatever the filter and whatever is stored."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, literal, select, text

from console.container import Container
from crypto_core.database.tokens.expressions import edk_prefix_of, table_of
from crypto_core.database.tokens.inventory import FIELDS, Inventory, InventoryRow, SortKey
from crypto_core.database.tokens.key_expressions import in_groups
from crypto_core.lists.filter_language import Value, parse_filter, passes, terms_of
from crypto_core.lists.paging import Query
from crypto_core.lists.regular_expression import pattern
from crypto_core.values.errors import InvalidFilterError
from crypto_core.values.references import TokenRef
from tests.crypto_core.lists.test_regular_expression import pieces, texts
from tests.lanes import examples

FREE = ("reference", "org", "provider", "shown")

NAMES = ("", "acme", "ACME", "Ünïcode", "a.b*c", "100%", "a_b", "back\\slash", "two words", 'quo"te', "a\nb")


@pytest.fixture
def inventory(services: Container, platform: Engine) -> Inventory:
    """Few rows, with names that mean something to LIKE, to regular expressions or to the filter language."""
    with platform.begin() as connection:
        connection.execute(text("DELETE FROM jira_connection WHERE id !~ '[12]$'"))
        connection.execute(text("DELETE FROM gh_connection WHERE id !~ '[357]$'"))
        connection.execute(text("ALTER TABLE slack_connection ALTER created_at DROP NOT NULL"))
        connection.execute(text("UPDATE slack_connection SET created_at = NULL WHERE id < 5"))
        for number, name in enumerate(NAMES, start=1):
            for column in ("slack_connection SET org_id", "confluence_connection SET email"):
                statement = text(f"UPDATE {column} = :name WHERE id = :id")
                connection.execute(statement, {"name": name, "id": number})
    services.catalogue.refresh()
    services.services.status.take_census()
    found = services.services.inventory
    assert isinstance(found, Inventory)
    return found


def read(row: InventoryRow, raw: dict[TokenRef, tuple[str, ...]]) -> dict[str, Value]:
    org, *shown = raw[row.ref]
    return {
        "reference": f"{row.ref.table}.{row.ref.column}:{row.ref.row_id}",
        "table": row.ref.table,
        "column": row.ref.column,
        "id": row.ref.row_id,
        "org": org,
        "provider": row.provider,
        "format": row.format.value,
        "severity": row.severity.value,
        "leaked": row.plaintext_provider,
        "key": (row.key_arn, row.key_arn.rpartition("/")[2]) if row.key_arn else None,
        "material": row.key_material_id,
        "evidence": row.evidence.value,
        "characters": row.characters,
        "created": row.created_at,
        "shown": tuple(shown),
    }


def stored_texts(services: Container) -> dict[TokenRef, tuple[str, ...]]:
    """What is shown of each row as it is stored: the inventory's rows are cleaned."""
    texts: dict[TokenRef, tuple[str, ...]] = {}
    with services.engine.connect() as connection:
        for table in services.catalogue().tables:
            own = [table.organisation] if table.organisation else []
            names = [*own, *(n for n in table.shown if n != table.organisation)]
            columns = ", ".join(f"{name}::text" for name in names)
            for row in connection.execute(text(f"SELECT id::text, {columns} FROM {table.name}")):
                for column in table.token_columns:
                    shown = tuple(value for value in row[1:] if value is not None)
                    texts[TokenRef(table.name, column, row[0])] = shown
    return texts


_words = st.sampled_from(
    [
        *(name for name in NAMES if name and " " not in name and '"' not in name and "\n" not in name),
        "*", "a*", "*e", "ü*", "ÜNÏ*", "_", "\\", ".", "v1", "plain*", "critical", "low", "github",
        "gh-3", "GH-*", "slack", "*_token", "7", "07", "-7", "unknown", "verified", "inferred",
        "gh_connection.access_token:gh-3", "GH_connection*:gh-5", "slack_connection.bot_token:7",
        "token:gh", "123456789012",
        "arn:*", "2026", "org-", "read:org", "99999999999999999999",
    ]
)  # fmt: skip
_values = (
    _words
    | st.text("aAeEüÜ*%_\\.-:1", min_size=1, max_size=4)
    | st.sampled_from(['"two words"', '"a*"', '"acme"', '"*"', '"100%"', '"%"'])
    | st.sampled_from(
        ["/^A/", "/a.b/", r"/^\w+$/", "/[^a-z]/", "/:gh-[35]$|ü/", "/x?/", r"/o(\s|-)/", "/^$/"]
    )
)
_ranges = st.sampled_from([">50", "<=57", "50..60", "..100,1000..", "0", "460"])
_moments = st.sampled_from(["2026-01-01..", "..2025-06-01", "<2026-01-01T10:00Z", "2024-01-01..2025-01-01"])
_terms = st.one_of(
    st.builds("{}{}".format, st.sampled_from(["", "-"]), _values),
    st.builds(
        "{}{}:{}".format,
        st.sampled_from(["", "-"]),
        st.sampled_from([n for n, f in FIELDS.items() if f.kind.value == "text"]),
        st.lists(_values, min_size=1, max_size=2).map(",".join),
    ),
    st.builds("{}characters:{}".format, st.sampled_from(["", "-"]), _ranges),
    st.builds("{}created:{}".format, st.sampled_from(["", "-"]), _moments),
)

_filters = st.recursive(
    _terms,
    lambda inner: st.tuples(
        st.sampled_from(["{}", "({})", "NOT ({})"]),
        st.sampled_from([" ", " OR "]),
        st.lists(inner, min_size=1, max_size=3),
    ).map(lambda p: p[0].format(p[1].join(p[2]))),
    max_leaves=4,
)

_sorts = st.sampled_from([*[SortKey.REFERENCE] * 7, SortKey.STATE])
"""By reference a page takes a statement a column, by state one for each state of a column as well."""


@pytest.fixture
def everything(services: Container, inventory: Inventory) -> dict[TokenRef, dict[str, Value]]:
    """Every row without a filter, as memory reads it."""
    raw = stored_texts(services)
    return {row.ref: read(row, raw) for row in inventory.page(Query(), limit=1000).rows}


@pytest.mark.slow
@pytest.mark.deep
@settings(
    max_examples=examples(250, quick=8, deep=30), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_filters, _sorts)
@example("key:unknown -leaked:*", SortKey.STATE)
@example("-evidence:verified id:7,gh-3", SortKey.REFERENCE)
@example('"a*" -org:"a.b*c"', SortKey.REFERENCE)
@example("token:gh", SortKey.REFERENCE)
@example("id:7 OR (format:v1 -org:/^a/) OR NOT created:2026-01-01..", SortKey.STATE)
@example("NOT (provider:slack OR key:* severity:low)", SortKey.STATE)
def test_sql_and_memory_let_the_same_rows_through(
    inventory: Inventory, everything: dict[TokenRef, dict[str, Value]], filter_: str, sort: SortKey
) -> None:
    try:
        terms = parse_filter(filter_, FIELDS)
    except InvalidFilterError:
        return
    if any(a.text == "unknown" and t.field == "key" for t in terms_of(terms) for a in t.alternatives):
        terms = ()  # a word of the inventory's own: the envelopes whose key is not known
    expected = {ref for ref, values in everything.items() if passes(terms, values.__getitem__, free=FREE)}
    found = [row.ref for row in inventory.page(Query(filter_, sort), limit=1000).rows]
    if terms:
        assert set(found) == expected
    assert inventory.count(Query(filter_, sort)) == len(found) == len(set(found))
    assert {r for page in inventory.references(filter_) for r in page} == set(found)


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(pieces, min_size=20, max_size=20), texts)
@example(["(a*)*b", "()a", "(|b)", "(a|aa)+$", "a{2,5}", "[^\\d]", "(^)*a", "^$", "É", "."], "aab\né")
def test_postgresql_matches_what_memory_does(platform: Engine, written: list[str], text_: str) -> None:
    found = [pattern(one) for one in written]
    matches = [func.lower(literal(text_)).op("~")(one.translated) for one in found]
    with platform.connect() as connection:
        row = connection.execute(select(*matches)).one()
    assert dict(zip(written, row, strict=True)) == {one.written: one.is_in(text_) for one in found}


def test_the_same_moment_is_meant(inventory: Inventory) -> None:
    """A day is a day in UTC, whatever zone the database is in."""
    rows = inventory.page(Query("created:2026-01-01.."), limit=1000).rows
    assert all(r.created_at is not None and r.created_at >= datetime(2026, 1, 1, tzinfo=UTC) for r in rows)


@pytest.mark.deep
def test_a_group_is_told_by_its_beginning_as_by_decoding_it(services: Container, platform: Engine) -> None:
    """Also for values that are cut off or changed where the beginning ends."""
    gh = next(t for t in services.catalogue().tables if t.name == "gh_connection")
    stored = table_of(gh).c.access_token
    with platform.begin() as connection:
        value = str(connection.scalar(select(stored).where(stored.startswith("djF8")).limit(1)))
        prefix = bytes(connection.scalar(select(edk_prefix_of(stored)).where(stored == value).limit(1)))
        changed = [value[:at] + sign + value[at + 1 :] for at in range(60, 76) for sign in "A9+/z=é "]
        changed += [value[:length] for length in range(60, 76)]
        connection.execute(text("DELETE FROM gh_connection WHERE id <> 'gh-1'"))
        compared = 0
        for other in changed:
            connection.execute(text("UPDATE gh_connection SET access_token = :v"), {"v": other})
            decoded, told = connection.execute(
                select(edk_prefix_of(stored), in_groups(stored, [prefix]))
            ).one()
            assert told is (decoded is not None and bytes(decoded) == prefix), other
            compared += told
    assert 10 < compared < len(changed) - 10
