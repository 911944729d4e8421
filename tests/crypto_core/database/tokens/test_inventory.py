"""The inventory: whole, in order, stable, filtered as asked, and never a word of SQL from the operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, text

from console.container import Container
from console.sandbox.platform import confluence_connection, gh_connection
from console.sandbox.world import World
from crypto_core.database.tokens.inventory import Inventory, InventoryRow, SortKey
from crypto_core.database.tokens.token_groups import KEY_NOT_KNOWN, GroupBy
from crypto_core.envelope import Format
from crypto_core.findings.finding import Severity
from crypto_core.lists.coverage import Evidence
from crypto_core.lists.filter_language import written
from crypto_core.lists.paging import Query
from crypto_core.reencryption.plan import Selection
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import InvalidFilterError, InvalidReferenceError, RowVanishedError
from crypto_core.values.references import TokenRef
from tests.conftest import ForReading
from tests.crypto_core.statements import execute, sent_by
from tests.lanes import examples

COLUMNS = (
    "gh_connection.access_token",
    "gh_connection.refresh_token",
    "jira_connection.access_token",
    "jira_connection.refresh_token",
    "slack_connection.bot_token",
    "confluence_connection.access_token",
)


@pytest.fixture
def inventory(services: Container) -> Inventory:
    found = services.services.inventory
    assert isinstance(found, Inventory)
    return found


@pytest.fixture(scope="module")
def _known(for_reading: ForReading) -> None:
    """All keys of the module's shared database are known, and nothing is written in it any more."""
    for_reading.services.services.status.take_census()
    for_reading.freeze()


@pytest.fixture
def read_only(_known: None, reading: Container) -> Inventory:
    """An inventory of the test's own of what all read."""
    found = reading.services.inventory
    assert isinstance(found, Inventory)
    return found


def walk(
    inventory: Inventory,
    filter_: str = "",
    sort: SortKey = SortKey.STATE,
    *,
    descending: bool = False,
    limit: int = 1000,
) -> list[InventoryRow]:
    """All pages of a query, one after another."""
    rows: list[InventoryRow] = []
    query, cursor = Query(filter_, sort, descending), None
    while True:
        page = inventory.page(query, cursor, limit=limit)
        assert len(page.rows) <= limit
        assert page.above is (cursor is not None)
        assert (page.first is None) is (page.last is None) is (not page.rows)
        rows += page.rows
        if not page.below:
            return rows
        assert len(page.rows) == limit
        cursor = page.last


@pytest.fixture(scope="module")
def all_rows(_known: None, for_reading: ForReading) -> list[InventoryRow]:
    """What the module's shared database has."""
    found = for_reading.services.services.inventory
    assert isinstance(found, Inventory)
    return walk(found)


def tie(row: InventoryRow) -> tuple[int, str]:
    """How rows that sort alike are told apart: column, then id."""
    numeric = row.ref.table in ("slack_connection", "confluence_connection")
    return (
        COLUMNS.index(f"{row.ref.table}.{row.ref.column}"),
        row.ref.row_id.rjust(20, "0") if numeric else row.ref.row_id,
    )


SORTED_BY: dict[SortKey, Callable[[InventoryRow], Any]] = {
    SortKey.STATE: lambda r: r.severity.rank,
    SortKey.REFERENCE: tie,
    SortKey.ORGANISATION: lambda r: r.organisation,
    SortKey.PROVIDER: lambda r: r.provider,
    SortKey.FORMAT: lambda r: r.format.value,
    SortKey.KEY: lambda r: (r.key_arn or "", r.key_material_id or ""),
    SortKey.EVIDENCE: lambda r: list(Evidence).index(r.evidence),
    SortKey.CREATED: lambda r: r.created_at,
    SortKey.CHARACTERS: lambda r: r.characters,
}


@pytest.mark.quick(2)
@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("sort", SortKey)
def test_pages_cover_every_token_once_in_order(
    read_only: Inventory, world: World, sort: SortKey, descending: bool
) -> None:
    rows = walk(read_only, sort=sort, descending=descending, limit=20)
    assert len(rows) == len(world.tokens) == read_only.count(Query())
    assert {row.ref for row in rows} == set(world.tokens)
    keys = [SORTED_BY[sort](row) for row in rows]
    assert keys == sorted(keys, reverse=descending)
    for first, second in pairwise(rows):
        if SORTED_BY[sort](first) == SORTED_BY[sort](second):
            assert tie(first) < tie(second)
    assert rows == walk(read_only, sort=sort, descending=descending)


@pytest.mark.deep
@pytest.mark.parametrize("limit", [1, 4])
def test_the_smallest_pages_cover_every_token_once(read_only: Inventory, limit: int) -> None:
    filter_ = "table:confluence_connection id:2,3,5,7,11"
    for sort in SortKey:
        for descending in (False, True):
            rows = walk(read_only, filter_, sort, descending=descending, limit=limit)
            assert rows == walk(read_only, filter_, sort, descending=descending)
            assert len({row.ref for row in rows}) == len(rows) == read_only.count(Query(filter_)) == 5


def test_a_row_says_what_is_stored_without_the_value(
    services: Container, inventory: Inventory, world: World, platform: Engine
) -> None:
    services.services.status.take_census()
    for ref, token in list(world.tokens.items())[::7]:
        row = inventory.row(ref)
        assert (row.ref, row.format) == (ref, token.format)
        with platform.connect() as connection:
            length, org, created = connection.execute(
                text(
                    f"SELECT length({ref.column}), org_id, created_at FROM {ref.table} WHERE id::text = :id"
                ),
                {"id": ref.row_id},
            ).one()
        assert (row.characters, row.organisation, row.created_at) == (length, org, created)
        if token.corruption is None:
            assert row.key_arn == token.key_arn
            assert row.key_material_id == token.key_material_id
        document = row.as_json()
        assert (document["reference"], document["severity"]) == (str(ref), row.severity.value)


def test_what_is_shown_comes_in_the_tables_order(read_only: Inventory) -> None:
    row = read_only.row(TokenRef("confluence_connection", "access_token", "1"))
    assert [name for name, _ in row.shown] == ["base_url", "email", "created_at", "updated_at"]
    github = read_only.row(TokenRef("gh_connection", "access_token", "gh-1"))
    assert [name for name, _ in github.shown][:2] == ["user_id", "token_type"]


def test_evidence_is_told_for_each_row(services: Container, inventory: Inventory, world: World) -> None:
    old = world.sealed_under(world.old_key)
    assert inventory.row(old[0]).evidence is Evidence.UNKNOWN
    services.services.work.verify_tokens(Selection((old[0],)))
    assert inventory.row(old[0]).evidence is Evidence.VERIFIED
    assert inventory.row(old[1]).evidence is Evidence.INFERRED
    rows = {row.ref: row.evidence for row in walk(inventory)}
    assert (rows[old[0]], rows[old[1]]) == (Evidence.VERIFIED, Evidence.INFERRED)


def test_a_row_that_is_not_there_is_told_apart(read_only: Inventory) -> None:
    with pytest.raises(RowVanishedError, match="gh-none"):
        read_only.row(TokenRef("gh_connection", "access_token", "gh-none"))
    with pytest.raises(RowVanishedError):
        read_only.row(TokenRef("slack_connection", "bot_token", "9" * 19))
    with pytest.raises(InvalidReferenceError, match="no readable token column 'bot_token'"):
        read_only.row(TokenRef("gh_connection", "bot_token", "gh-1"))


FILTERS: list[tuple[str, Callable[[InventoryRow], bool]]] = [
    ("provider:slack", lambda r: r.provider == "slack"),
    ("provider:SLACK", lambda r: r.provider == "slack"),
    ("-provider:slack", lambda r: r.provider != "slack"),
    ("provider:slack,jira", lambda r: r.provider in ("slack", "jira")),
    ("-provider:slack,jira", lambda r: r.provider not in ("slack", "jira")),
    ("provider:*i*", lambda r: "i" in r.provider),
    ('provider:"*i*"', lambda _: False),
    ("table:gh_connection", lambda r: r.ref.table == "gh_connection"),
    ("column:*_token", lambda r: True),
    ("column:bot_token", lambda r: r.ref.column == "bot_token"),
    ("id:gh-1", lambda r: r.ref.row_id == "gh-1"),
    ("id:gh-1*", lambda r: r.ref.row_id.startswith("gh-1")),
    ("id:7", lambda r: r.ref.row_id == "7"),
    ("reference:slack_connection.bot_token:7", lambda r: str(r.ref) == "slack_connection.bot_token:7"),
    ("ref:*:gh-2", lambda r: r.ref.row_id == "gh-2"),
    ("org:org-aurora", lambda r: r.organisation == "org-aurora"),
    ("org:*a", lambda r: r.organisation.endswith("a")),
    ("org:aurora", lambda r: False),
    ("format:v1", lambda r: r.format is Format.V1),
    ("format:V1", lambda r: r.format is Format.V1),
    ("format:plaintext,dev", lambda r: r.format in (Format.PLAINTEXT, Format.DEV)),
    ("format:*e*", lambda r: "e" in r.format.value),
    ("-format:v1", lambda r: r.format is not Format.V1),
    ("severity:critical", lambda r: r.severity is Severity.CRITICAL),
    ("severity:HIGH", lambda r: r.severity is Severity.HIGH),
    ("state:low,none", lambda r: r.severity in (Severity.LOW, Severity.NONE)),
    ("severity:medium", lambda r: False),
    ("-severity:none", lambda r: r.severity is not Severity.NONE),
    ("severity:*i*", lambda r: "i" in r.severity.value),
    ("leaked:slack", lambda r: r.plaintext_provider == "slack"),
    ("leaked:*", lambda r: r.plaintext_provider is not None),
    ("-leaked:*", lambda r: r.plaintext_provider is None),
    ("leaked:GitHub,atlassian", lambda r: r.plaintext_provider in ("github", "atlassian")),
    ("characters:0", lambda r: r.characters == 0),
    ("characters:>500", lambda r: r.characters > 500),
    ("characters:<=57", lambda r: r.characters <= 57),
    ("characters:50..60", lambda r: 50 <= r.characters <= 60),
    ("characters:..100,1000..", lambda r: r.characters <= 100 or r.characters >= 1000),
    ("-characters:50..", lambda r: r.characters < 50),
    ("key:*", lambda r: r.key_arn is not None),
    ("-key:*", lambda r: r.key_arn is None),
    ("key:unknown", lambda r: r.format is Format.V1 and r.key_arn is None),
    ("material:*", lambda r: r.key_material_id is not None),
    ("-material:*", lambda r: r.key_material_id is None),
    ("org-aurora", lambda r: r.organisation == "org-aurora"),
    ("AURORA", lambda r: "aurora" in r.organisation or any("aurora" in v for _, v in r.shown)),
    ("-aurora", lambda r: "aurora" not in r.organisation and not any("aurora" in v for _, v in r.shown)),
    ('"read:org"', lambda r: "read:org" in dict(r.shown).get("scopes", "")),
    ("bot-*@", lambda r: "email" in dict(r.shown)),
    (
        "provider:github format:v1 -org:org-aurora",
        lambda r: r.provider == "github" and r.format is Format.V1 and r.organisation != "org-aurora",
    ),
    ("nothing-of-that-kind", lambda _: False),
]


@pytest.mark.quick(4, deep=16)
@pytest.mark.parametrize(
    ("filter_", "lets_through"), FILTERS, ids=[filter_ or "all" for filter_, _ in FILTERS]
)
def test_a_filter_lets_through_what_it_says(
    read_only: Inventory,
    all_rows: list[InventoryRow],
    filter_: str,
    lets_through: Callable[[InventoryRow], bool],
) -> None:
    rows = walk(read_only, filter_)
    assert {row.ref for row in rows} == {row.ref for row in all_rows if lets_through(row)}
    assert read_only.count(Query(filter_)) == len(rows) == len({row.ref for row in rows})


@pytest.mark.deep
def test_free_text_is_looked_for_in_values_and_not_in_the_names_of_columns(read_only: Inventory) -> None:
    for word in ("email", "base_url", "scopes", "team_id", "created_at", "null", '": "'):
        assert walk(read_only, word) == []


@pytest.mark.quick(2)
@pytest.mark.parametrize("name", ["arn", "id", "ID", "alias", "alias*", "*-old"], ids=lambda n: f"by {n}")
def test_tokens_are_found_by_any_name_of_their_key(
    services: Container, inventory: Inventory, world: World, name: str
) -> None:
    services.services.work.verify_tokens(Selection(everything=True))
    old = world.old_key
    spelt = {
        "arn": old.arn,
        "id": old.key_id,
        "ID": old.key_id.upper(),
        "alias": old.alias,
        "alias*": "alias/tokens-*",
        "*-old": "*-old",
    }[name]
    found = {row.ref for row in walk(inventory, f"key:{spelt}")}
    assert found == set(world.sealed_under(old))
    assert {row.ref for row in walk(inventory, f"-key:{spelt} key:*")} == set(
        world.sealed_under(world.current_key)
    )


def test_tokens_are_found_by_their_keys_material(
    services: Container, inventory: Inventory, world: World
) -> None:
    services.services.work.verify_tokens(Selection(everything=True))
    for material in world.current_key.material_ids:
        found = {row.ref for row in walk(inventory, f"material:{material}")}
        assert found == set(world.sealed_under(world.current_key, material))
    both = ",".join(world.current_key.material_ids)
    assert {row.ref for row in walk(inventory, f"material_id:{both}")} == set(
        world.sealed_under(world.current_key)
    )


def test_a_date_finds_the_rows_of_that_day(inventory: Inventory, platform: Engine) -> None:
    execute(
        platform, "UPDATE slack_connection SET created_at = timestamptz '2026-03-01Z' + id * interval '6h'"
    )

    def ids(filter_: str) -> list[int]:
        rows = walk(inventory, f"table:slack_connection {filter_}", SortKey.REFERENCE)
        return [int(row.ref.row_id) for row in rows]

    assert ids("created:2026-03-02") == [4, 5, 6, 7]
    assert ids("created:2026-03-01..2026-03-02") == [1, 2, 3, 4, 5, 6, 7]
    assert ids("created:..2026-03-01") == ids("created:<=2026-03-01") == [1, 2, 3]
    assert ids("created:<2026-03-02") == [1, 2, 3]
    assert ids("created:>2026-03-04") == [16, 17, 18]
    assert ids("created:>=2026-03-04T06:00") == [13, 14, 15, 16, 17, 18]
    assert ids("created:>2026-03-04T06:00+00:00") == [14, 15, 16, 17, 18]
    assert ids("-created:2026-03-02..") == [1, 2, 3]
    assert ids("created:2026-03-01T06:00,2026-03-02T00:00") == [1, 4]
    assert ids("created:..0001-01-01") == []
    assert len(ids("created:..9999-12-31")) == 18


@pytest.mark.parametrize(
    ("filter_", "position"), [("format:v9", 7), ("provider:slack nofield:x", 15), ('org:"', 4)]
)
def test_a_wrong_filter_is_refused_with_its_position_by_page_and_count(
    read_only: Inventory, filter_: str, position: int
) -> None:
    for call in (read_only.page, read_only.count):
        with pytest.raises(InvalidFilterError) as caught:
            call(Query(filter_))
        assert caught.value.position == position


HOSTILE = (
    "\x1b[31mred\x1b]52;c;cGF5bG9hZA==\x07",
    "\u202egnirts desrever\u2066",
    "[bold]OK[/bold][/red]",
    "a\r\nb\tc\u2028d",
    "\x9b2J\x00".replace("\x00", "\x01"),
    "zero\u200bwidth\ufeff",
    "x" * 5000,
    "'; DROP TABLE gh_connection; --",
    '"}, {"a": "b',
    "ü😀",
    "",
)


def test_hostile_names_come_out_clean(inventory: Inventory, platform: Engine) -> None:
    with platform.begin() as connection:
        connection.execute(text("TRUNCATE gh_connection, jira_connection, slack_connection"))
        connection.execute(text("TRUNCATE confluence_connection"))
        for number, name in enumerate(HOSTILE, start=1):
            shared = {"org_id": name, "access_token": "gho_1", "created_at": text("now()")}
            atlassian = {"id": number, "base_url": name, "email": name, "updated_at": text("now()")}
            github = {"id": f"gh-{number}-{name[:40]}", "user_id": name, "token_type": "t", "scopes": [name]}
            connection.execute(insert(confluence_connection).values(**shared, **atlassian))
            connection.execute(insert(gh_connection).values(**shared, **github))
    rows = walk(inventory, limit=3)
    assert len(rows) == 2 * len(HOSTILE)
    for row in rows:
        texts = [row.organisation, str(row.ref), *(value for _, value in row.shown)]
        assert all(value.isprintable() for value in texts), texts
        assert all(len(value) <= 300 for value in texts)
        assert inventory.row(row.ref) == row
    assert {"[bold]OK[/bold][/red]", "ü😀", ""} <= {row.organisation for row in rows}
    quoted = inventory.count(Query('org:"\'; DROP TABLE gh_connection; --"'))
    assert quoted == 2


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    "value", ["canary", '"canary\' OR 1=1"', "canary'%s", '"canary\\%(x)s"', "canary*;--", "/canary'/"]
)
def test_the_operators_words_are_never_part_of_the_sql(
    read_only: Inventory, reading: Container, value: str
) -> None:
    fields = ("", "org:", "key:", "material:", "-provider:", "id:", "ref:", "table:", "column:")
    with sent_by(reading.engine) as sent:
        for filter_ in (field + value for field in fields):
            walk(read_only, filter_)
            read_only.count(Query(filter_))
    assert len(sent) > 2 * len(fields)
    assert not [statement for statement, _ in sent if "canary" in statement]


_characters = st.characters(exclude_categories=("Cs",), exclude_characters="\x00")
_values = st.one_of(
    st.text(_characters, max_size=12),
    st.text("'\"\\%_*()[]{}|^$.+?-~#&;:, \n\tabc", max_size=12),
    st.sampled_from(["%(x)s", "%s", "***:a", "(?i)a", "\\m", "\\", "' OR '1'='1", "{", "a{2}", "[[:<:]]"]),
)


@settings(max_examples=examples(81), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "org:", "key:", "id:", "ref:", "provider:", "material:", "-", "-org:"]),
            _values,
        ),
        max_size=3,
    ),
    st.sampled_from(SortKey),
)
@example([("org:", "\\")], SortKey.KEY)
@example([("", "***:a")], SortKey.STATE)
@example([("", "%")], SortKey.STATE)
def test_any_filter_is_answered_or_refused(
    read_only: Inventory, terms: list[tuple[str, str]], sort: SortKey
) -> None:
    filter_ = " ".join(field + value for field, value in terms)
    try:
        page = read_only.page(Query(filter_, sort), limit=3)
    except InvalidFilterError as refused:
        position = refused.position
    else:
        assert read_only.count(Query(filter_)) >= len(page.rows)
        return
    assert 0 <= position <= len(filter_)


@pytest.mark.deep
@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(_characters, min_size=1, max_size=20).filter(lambda name: '"' not in name))
@example("\\")
@example("a.b*c+d?")
@example("100%")
@example("\\1\\m\\y")
def test_a_quoted_name_finds_exactly_the_row_that_has_it(
    inventory: Inventory, platform: Engine, name: str
) -> None:
    with platform.begin() as connection:
        connection.execute(text("UPDATE slack_connection SET org_id = 'other'"))
        connection.execute(text("UPDATE slack_connection SET org_id = :name WHERE id = 5"), {"name": name})
    found = walk(inventory, f'table:slack_connection org:"{name}"')
    assert "5" in {row.ref.row_id for row in found}
    assert len(found) == 1 or name.lower() == "other"


def test_a_null_organisation_is_an_empty_one(inventory: Inventory, platform: Engine) -> None:
    execute(
        platform,
        "ALTER TABLE slack_connection ALTER org_id DROP NOT NULL",
        "ALTER TABLE slack_connection ALTER created_at DROP NOT NULL",
        "UPDATE slack_connection SET org_id = NULL, created_at = NULL WHERE id = 2",
    )
    row = inventory.row(TokenRef("slack_connection", "bot_token", "2"))
    assert (row.organisation, row.created_at) == ("", None)
    for sort in SortKey:
        rows = walk(inventory, "table:slack_connection", sort, limit=5)
        assert len({r.ref for r in rows}) == 18
    assert inventory.count(Query("table:slack_connection -org:org-*")) == 1
    assert inventory.count(Query("table:slack_connection -created:>2000-01-01")) == 1


@pytest.mark.deep
def test_groups_have_the_tokens_that_their_filters_find(
    services: Container, inventory: Inventory, platform: Engine
) -> None:
    services.services.status.take_census()
    hostile = 'a "b" % _ \x1b[31m[/red]'
    with platform.begin() as connection:
        row = {
            "access_token": "gho_1",
            "user_id": "u",
            "token_type": "t",
            "scopes": [],
            "created_at": text("now()"),
        }
        for number, org in enumerate((hostile, "Acme-9", "acme-9")):
            connection.execute(insert(gh_connection).values(id=f"gh-group-{number}", org_id=org, **row))
    rows = walk(inventory)
    told: dict[GroupBy, Callable[[InventoryRow], str]] = {
        GroupBy.ORGANISATION: lambda row: row.organisation.lower(),
        GroupBy.PROVIDER: lambda row: row.provider,
        GroupBy.FORMAT: lambda row: row.format.value,
        GroupBy.KEY: lambda row: (row.key_arn or KEY_NOT_KNOWN) if row.format.protected else "",
    }
    for by, value in told.items():
        groups = inventory.groups(by)
        expected = Counter(map(value, rows))
        assert {group.shown.lower(): group.tokens for group in groups.rows} == expected
        assert sum(groups.by_format.values()) == len(rows)
        assert [group.tokens for group in groups.rows] == sorted(expected.values(), reverse=True)
        few = inventory.groups(by, "provider:github,slack", most=1)
        assert (len(few.rows), few.rest + few.rows[0].tokens) == (
            1,
            sum(row.provider in ("github", "slack") for row in rows),
        )
        for group in groups.rows:
            if group.value and '"' not in group.value:
                assert inventory.count(Query(f"{by}:{written(group.value)}")) == group.tokens
    assert {g.shown for g in inventory.groups(GroupBy.ORGANISATION).rows} >= {clean(hostile), "Acme-9"}


def test_dates_are_aware(read_only: Inventory) -> None:
    created = [row.created_at for row in walk(read_only)]
    assert all(c is not None and c.tzinfo is not None for c in created)
    assert max(c for c in created if c) < datetime.now(UTC) + timedelta(days=1)
