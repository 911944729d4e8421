"""Pages of the inventory: both ways, from anywhere, by every order and every way to find them."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from console.container import Container
from crypto_core.database.tokens import survey, table_scan
from crypto_core.database.tokens.inventory import Inventory, InventoryRow, SortKey
from crypto_core.lists.paging import Cursor, Page, Query
from crypto_core.reencryption.plan import Selection
from crypto_core.values.errors import InterruptedRunError, KeydeckError
from crypto_core.values.references import TokenRef
from tests.conftest import ForReading
from tests.crypto_core.statements import execute, sent_by
from tests.lanes import examples

WAYS = {
    "as it is": {},
    "near rows run out at once": {"NEAR": 3, "SPARSE": 2},
    "no value is rare": {"NEAR": 3, "SPARSE": 0},
    "every value is rare": {"NEAR": 1, "SPARSE": 10_000},
    "too many values to count": {"VALUES": 0},
    "ids are forgotten at once": {"NEAR": 2, "SPARSE": 100, "IDS": 1},
    "surveys are forgotten at once": {"NEAR": 2, "LASTS_SECONDS": 0.0},
}
"""How a page may be found; all must find the same."""


def make_varied(services: Container, platform: Engine) -> None:
    """Tokens with equal values, with none, empty ones, of every evidence; ids are texts and numbers."""
    with platform.begin() as connection:
        for table in ("gh_connection", "slack_connection"):
            for column in ("org_id", "created_at"):
                connection.execute(text(f"ALTER TABLE {table} ALTER {column} DROP NOT NULL"))
        connection.execute(
            text("UPDATE gh_connection SET org_id = NULL, created_at = NULL WHERE id ~ '[37]'")
        )
        connection.execute(text("UPDATE gh_connection SET org_id = 'Ü' WHERE id ~ '5'"))
        connection.execute(text("UPDATE slack_connection SET created_at = NULL, org_id = '' WHERE id < 9"))
        connection.execute(text("UPDATE jira_connection SET created_at = 'infinity' WHERE id ~ '1'"))
        connection.execute(text("UPDATE confluence_connection SET id = -id WHERE id > 3"))
        connection.execute(text("UPDATE confluence_connection SET created_at = '2026-01-01'"))
        connection.execute(text("UPDATE jira_connection SET id = id || 'é' WHERE id ~ '4'"))
        connection.execute(text("UPDATE jira_connection SET id = upper(id) WHERE id ~ '2'"))
    services.catalogue.refresh()
    services.services.status.take_census()
    services.services.work.verify_tokens(Selection((TokenRef("gh_connection", "access_token", "gh-1"),)))


@pytest.fixture(scope="module")
def varied(for_reading: ForReading) -> None:
    """The module's shared database is varied, and nothing is written in it any more."""
    make_varied(for_reading.services, for_reading.platform)
    for_reading.freeze()


@pytest.fixture
def inventory(varied: None, reading: Container) -> Inventory:
    """An inventory of the test's own of what all read."""
    found = reading.services.inventory
    assert isinstance(found, Inventory)
    return found


@pytest.fixture
def own_inventory(services: Container, platform: Engine) -> Inventory:
    """A varied inventory in which a test may write."""
    make_varied(services, platform)
    found = services.services.inventory
    assert isinstance(found, Inventory)
    return found


def go_by(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    for name, value in WAYS[way].items():
        place: Any = table_scan if name == "NEAR" else survey if name == "LASTS_SECONDS" else survey.Survey
        monkeypatch.setattr(place, name, value)


def refs(page: Page[InventoryRow]) -> list[TokenRef]:
    return [row.ref for row in page.rows]


def walk(inventory: Inventory, query: Query, limit: int, *, backwards: bool = False) -> list[TokenRef]:
    """All pages of a query, from one end to the other, in the query's order."""
    found: list[TokenRef] = []
    start: Cursor | None = None
    while True:
        page = inventory.page(query, start, backwards=backwards, limit=limit)
        found = refs(page) + found if backwards else found + refs(page)
        more, behind = (page.above, page.below) if backwards else (page.below, page.above)
        assert behind is (start is not None)
        if not more:
            return found
        assert len(page.rows) == limit
        start = page.first if backwards else page.last


PAIRS = [(sort, [*WAYS][n % len(WAYS)]) for n, sort in enumerate(SortKey)]
"""Each order and each way; the property below draws from all pairs of them."""


@pytest.mark.deep
@pytest.mark.parametrize(("sort", "way"), PAIRS)
def test_pages_backwards_are_the_pages_forwards(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch, sort: SortKey, way: str
) -> None:
    whole = {d: refs(inventory.page(Query("", sort, d), limit=1000)) for d in (False, True)}
    assert len(set(whole[False])) == len(whole[False]) == inventory.count(Query())
    assert set(whole[False]) == set(whole[True])
    go_by(monkeypatch, way)
    for descending in (False, True):
        query = Query("", sort, descending)
        assert refs(inventory.page(query, limit=1000)) == whole[descending]
        assert refs(inventory.page(query, backwards=True, limit=1000)) == whole[descending]
        assert walk(inventory, query, 41) == whole[descending]
        assert walk(inventory, query, 41, backwards=True) == whole[descending]


FILTERS = [
    "",
    "format:plaintext",
    "org:org-aurora",
    "-format:v1",
    "key:*",
    "table:jira_connection",
    "id:gh-1*",
]


@pytest.mark.deep
@pytest.mark.slow
@settings(max_examples=examples(60, deep=30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(list(WAYS)),
    st.sampled_from(FILTERS),
    st.sampled_from(["", *SortKey]),
    st.booleans(),
    st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(1, 40)), max_size=6),
)
def test_any_way_through_the_pages_meets_the_rows_that_stand_there(
    inventory: Inventory,
    way: str,
    filter_: str,
    sort: str,
    descending: bool,
    steps: list[tuple[bool, bool, int]],
) -> None:
    query = Query(filter_, sort, descending)
    whole = refs(inventory.page(query, limit=1000))
    with pytest.MonkeyPatch.context() as monkeypatch:
        go_by(monkeypatch, way)
        page = inventory.page(query, limit=10)
        for backwards, inclusive, limit in steps:
            start = page.first if backwards else page.last
            if start is None:
                break
            at = whole.index(page.rows[0].ref if backwards else page.rows[-1].ref)
            if backwards:
                end = at + inclusive
                begin = max(0, end - limit)
            else:
                begin = at + (not inclusive)
                end = min(len(whole), begin + limit)
            page = inventory.page(query, start, backwards=backwards, inclusive=inclusive, limit=limit)
            assert refs(page) == whole[begin:end]
            if page.rows:
                assert (page.above, page.below) == (begin > 0, end < len(whole))


@pytest.mark.quick(1)
@pytest.mark.parametrize("way", WAYS)
def test_a_page_goes_on_where_the_row_of_the_cursor_stood(
    own_inventory: Inventory, platform: Engine, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    go_by(monkeypatch, way)
    for sort in SortKey:
        query = Query("table:confluence_connection", sort)
        whole = refs(own_inventory.page(query))
        page = own_inventory.page(query, limit=4)
        with platform.begin() as connection:
            gone = connection.execute(
                text("DELETE FROM confluence_connection WHERE id = :id RETURNING *"),
                {"id": int(page.rows[-1].ref.row_id)},
            ).one()
        assert refs(own_inventory.page(query, page.last, limit=3)) == whole[4:7]
        assert refs(own_inventory.page(query, page.last, inclusive=True, limit=3)) == whole[4:7]
        assert refs(own_inventory.page(query, page.last, backwards=True, limit=9)) == whole[:3]
        with platform.begin() as connection:
            names = ", ".join(gone._mapping)
            values = ", ".join(f":{name}" for name in gone._mapping)
            connection.execute(
                text(
                    f"INSERT INTO confluence_connection ({names}) OVERRIDING SYSTEM VALUE VALUES ({values})"
                ),
                dict(gone._mapping),
            )


@pytest.mark.deep
def test_a_row_that_comes_while_a_list_is_read_is_there_when_it_is_looked_at_anew(
    own_inventory: Inventory, platform: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_by(monkeypatch, "near rows run out at once")
    query = Query("format:empty")
    (row,) = own_inventory.page(query).rows
    page = own_inventory.page(Query(), limit=50)
    execute(platform, "UPDATE jira_connection SET refresh_token = '' WHERE id = 'jira-10'")
    assert len(own_inventory.page(query).rows) == 2
    fresh = own_inventory.page(Query(), page.first, inclusive=True, limit=1000)
    assert TokenRef("jira_connection", "refresh_token", "jira-10") in refs(fresh)
    assert row.ref in refs(fresh)


def test_an_order_that_there_is_not_is_refused_with_those_that_there_are(inventory: Inventory) -> None:
    with pytest.raises(KeydeckError, match="no order 'user_id'") as caught:
        inventory.page(Query(sort="user_id"))
    assert all(sort.value in caught.value.remedy for sort in SortKey)


def test_some_rows_are_read_in_the_order_asked_without_those_that_are_gone(inventory: Inventory) -> None:
    wanted = [
        TokenRef("slack_connection", "bot_token", "7"),
        TokenRef("gh_connection", "access_token", "gh-none"),
        TokenRef("gh_connection", "access_token", "gh-1"),
        TokenRef("slack_connection", "bot_token", "7"),
    ]
    rows = inventory.rows(wanted)
    assert [row.ref for row in rows] == [wanted[0], wanted[2]]
    assert list(rows) == [inventory.row(wanted[0]), inventory.row(wanted[2])]
    assert inventory.rows([]) == ()


@pytest.mark.deep
def test_references_are_all_that_a_filter_lets_through_by_column_and_id(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crypto_core.database.tokens.inventory._REFERENCES", 5)
    for filter_ in FILTERS:
        found = [ref for page in inventory.references(filter_) for ref in page]
        assert found == refs(inventory.page(Query(filter_, "reference"), limit=1000))


Sent = list[tuple[str, Any]]


@pytest.fixture
def sent() -> Iterator[Sent]:
    """Every statement that is sent."""
    with sent_by(Engine) as statements:
        yield statements


@pytest.mark.parametrize(
    "filter_", ["table:slack_connection", "provider:slack", "column:bot_token", "-table:gh*,jira*,conf*"]
)
def test_columns_that_a_filter_leaves_out_are_not_read(
    inventory: Inventory, sent: Sent, filter_: str
) -> None:
    sent.clear()
    inventory.page(Query(filter_))
    inventory.count(Query(filter_))
    assert not [s for s, _ in sent if "gh_connection" in s or "jira_connection" in s or "confluence" in s]


def test_a_page_of_a_cancelled_call_is_not_read(inventory: Inventory, sent: Sent) -> None:
    cancelled = Event()
    cancelled.set()
    inventory.page(Query(), limit=1)  # the catalogue is read
    sent.clear()
    for call in (inventory.page, inventory.count):
        with pytest.raises(InterruptedRunError):
            call(Query(), cancelled=cancelled)
    assert not [statement for statement, _ in sent if "_connection" in statement]


def scans(sent: Sent) -> list[str]:
    """Those statements that read a whole table: not a sample, not near rows, not rows by their ids."""
    tables = ("gh_connection", "jira_connection", "slack_connection", "confluence_connection")
    return [
        table
        for statement, _ in sent
        for table in tables
        if f"FROM public.{table}" in statement
        and not any(word in statement for word in ("TABLESAMPLE", "LIMIT", ".id = any(", ".id IN ("))
    ]


@pytest.fixture
def plain(services: Container) -> Inventory:
    """The tokens as they were generated."""
    found = services.services.inventory
    assert isinstance(found, Inventory)
    return found


def test_a_count_reads_each_table_once(plain: Inventory, sent: Sent) -> None:
    expected = len(plain.page(Query(), limit=1000).rows)
    sent.clear()
    assert plain.count(Query("-org:none")) == expected
    assert sorted(scans(sent)) == [
        "confluence_connection",
        "gh_connection",
        "jira_connection",
        "slack_connection",
    ]


@pytest.mark.quick(1)
@pytest.mark.parametrize("filter_", ["", "-format:dev", "org-a*", "provider:github,slack"])
def test_what_the_count_of_a_list_read_its_pages_need_not_read_again(
    plain: Inventory, sent: Sent, monkeypatch: pytest.MonkeyPatch, filter_: str
) -> None:
    monkeypatch.setattr(table_scan, "NEAR", 5)
    query = Query(filter_)
    whole = refs(plain.page(query, limit=1000))
    page = plain.page(query, limit=2)
    assert plain.count(query) == len(whole)
    sent.clear()
    found = refs(page)
    while page.below:
        page = plain.page(query, page.last, limit=20)
        found += refs(page)
    assert found == whole
    assert scans(sent) == []


def test_a_page_for_which_a_survey_was_taken_makes_its_count_free(
    plain: Inventory, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_scan, "NEAR", 5)
    query = Query("format:empty,unrecognised", SortKey.FORMAT)
    rows = plain.page(query).rows
    sent.clear()
    assert plain.count(query) == len(rows) > 0
    assert not [s for s, _ in sent if "_connection" in s]


def test_a_count_for_its_own_sake_is_taken_anew(plain: Inventory, platform: Engine) -> None:
    query = Query("format:empty")
    plain.page(query)
    before = plain.count(query)
    execute(platform, "UPDATE jira_connection SET refresh_token = '' WHERE id = 'jira-10'")
    assert plain.count(query) == before + 1


@pytest.mark.quick(3)
@pytest.mark.parametrize(
    "filter_", ["format:v1 format:v2", "leaked:github format:v1", "format:v1 -format:v1"]
)
@pytest.mark.parametrize("sort", [SortKey.STATE, SortKey.FORMAT, SortKey.KEY, SortKey.ORGANISATION])
def test_a_filter_that_nothing_can_pass_lets_nothing_through(
    plain: Inventory, sort: SortKey, filter_: str
) -> None:
    query = Query(filter_, sort)
    assert plain.page(query).rows == ()
    assert plain.count(query) == 0


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "filter_",
    [*FILTERS, "org-a*", "key:unknown", "evidence:verified", "-key:*", "created:2026-01-01.."],
    ids=lambda filter_: filter_ or "all",
)
def test_a_list_is_counted_as_it_is_paged_through(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch, filter_: str
) -> None:
    go_by(monkeypatch, "near rows run out at once")
    for sort in [*SortKey][len(filter_) % 3 :: 3]:
        query = Query(filter_, sort, descending=True)
        page = inventory.page(query, limit=7)
        counted = inventory.count(query)
        found = refs(page)
        while page.below:
            page = inventory.page(query, page.last, limit=50)
            found += refs(page)
        assert counted == len(found) == len(set(found)), query
