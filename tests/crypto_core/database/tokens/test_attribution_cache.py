"""What KMS said is remembered: in Keydeck's schema where that can be written, else in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text

from console.container import Container
from console.sandbox.postgres import OPERATOR
from console.settings import load
from crypto_core.database.connection.engine import connected, open_engine
from crypto_core.database.schema import key_answer
from crypto_core.database.tokens.attribution_cache import AttributionCache, KnownAttribution
from crypto_core.lists.paging import Query
from tests.crypto_core.statements import execute

PREFIX = bytes.fromhex("0102030078") + bytes(range(32))
ARN = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000001"
OTHER = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000002"


def answer(
    number: int, key_arn: str | None = ARN, material: str | None = "m1", reason: str = ""
) -> KnownAttribution:
    return KnownAttribution(bytes([number]) * 32, PREFIX if key_arn else None, key_arn, material, reason)


def broken(number: int) -> KnownAttribution:
    return answer(number, None, None, "Malformed nonce")


@pytest.fixture
def engine(environment: dict[str, str]) -> Iterator[Engine]:
    """The operator's engine, without Keydeck's schema unless a test installs it."""
    opened = open_engine(environment["DATABASE_URL"])
    yield opened
    opened.dispose()


def stored(engine: Engine) -> int:
    with connected(engine) as connection:
        return int(connection.scalar(select(func.count()).select_from(key_answer)) or 0)


def told(book: AttributionCache, engine: Engine) -> dict[bytes, tuple[str | None, str | None, str]]:
    """The answers as a relation to join, one row a value."""
    relation = book.relation()
    if relation is None:
        return {}
    with connected(engine) as connection:
        rows = connection.execute(select(relation)).all()
    found: dict[bytes, tuple[str | None, str | None, str]] = {
        bytes(r.digest): (r.key_arn, r.key_material_id, r.reason) for r in rows
    }
    assert len(found) == len(rows)
    return found


def asked(book: AttributionCache, engine: Engine, *numbers: int) -> dict[bytes, KnownAttribution]:
    with connected(engine) as connection:
        return dict(book.about(connection, [bytes([n]) * 32 for n in numbers]))


def groups(book: AttributionCache, engine: Engine) -> dict[bytes, frozenset[Any]]:
    with connected(engine) as connection:
        return book.by_group(connection)


@pytest.fixture(params=["in the schema", "in memory", "read only beside the schema"])
def book(request: pytest.FixtureRequest, engine: Engine) -> Iterator[AttributionCache]:
    """An answer book, wherever it keeps its answers."""
    if request.param in ("in the schema", "read only beside the schema"):
        request.getfixturevalue("services")
    reading = open_engine(str(engine.url.render_as_string(hide_password=False)), read_only=True)
    yield AttributionCache(
        reading if request.param.startswith("read only") else engine,
        read_only=request.param.startswith("read only"),
    )
    reading.dispose()


def test_an_answer_is_given_back_by_digest_by_group_and_as_a_relation(
    book: AttributionCache, engine: Engine
) -> None:
    book.remember([answer(1), answer(2), broken(3)])
    assert asked(book, engine, 1, 3, 9) == {bytes([1]) * 32: answer(1), bytes([3]) * 32: broken(3)}
    assert groups(book, engine) == {PREFIX: {(ARN, "m1")}}
    assert told(book, engine)[bytes([2]) * 32] == (ARN, "m1", "")
    assert told(book, engine)[bytes([3]) * 32] == (None, None, "Malformed nonce")


def test_a_newer_answer_about_a_value_replaces_the_older_whole(
    book: AttributionCache, engine: Engine
) -> None:
    """What could not be opened while a Region was missing may open later."""
    book.remember([broken(1)])
    book.remember([answer(1)])
    assert asked(book, engine, 1)[bytes([1]) * 32] == answer(1)
    assert groups(book, engine) == {PREFIX: {(ARN, "m1")}}
    assert told(book, engine) == {bytes([1]) * 32: (ARN, "m1", "")}
    book.remember([answer(1), broken(1)])
    assert asked(book, engine, 1)[bytes([1]) * 32] == broken(1)
    assert groups(book, engine) == {}


def test_answers_that_disagree_about_a_group_are_all_kept(book: AttributionCache, engine: Engine) -> None:
    book.remember([answer(1), answer(2, OTHER, "m2"), answer(3, ARN, None)])
    assert groups(book, engine) == {PREFIX: {(ARN, "m1"), (OTHER, "m2"), (ARN, None)}}


def test_broken_envelopes_alone_can_be_joined(book: AttributionCache, engine: Engine) -> None:
    book.remember([broken(1), broken(2)])
    assert set(told(book, engine)) == {bytes([1]) * 32, bytes([2]) * 32}


def test_nothing_to_remember_is_no_error(book: AttributionCache, engine: Engine) -> None:
    book.remember([])
    assert asked(book, engine) == {}
    assert told(book, engine) == {}


def test_reasons_of_any_text_come_back_as_they_were(book: AttributionCache, engine: Engine) -> None:
    hostile = 'it\'s \\ "quoted" {braces}, 100 % NULL — ü'
    book.remember([answer(1, None, None, hostile), answer(2, None, None, "")])
    assert asked(book, engine, 1)[bytes([1]) * 32].reason == hostile
    assert told(book, engine)[bytes([1]) * 32] == (None, None, hostile)


def test_memory_beside_the_table_gives_each_value_one_answer_the_newer(
    services: Container, engine: Engine
) -> None:
    AttributionCache(engine).remember([answer(1, OTHER, "old"), answer(2)])
    book = AttributionCache(engine, read_only=True)
    book.remember([answer(1), answer(3)])
    assert stored(engine) == 2
    assert told(book, engine) == {
        bytes([1]) * 32: (ARN, "m1", ""),
        bytes([2]) * 32: (ARN, "m1", ""),
        bytes([3]) * 32: (ARN, "m1", ""),
    }


def test_answers_outlive_the_process_only_in_the_schema(services: Container, engine: Engine) -> None:
    AttributionCache(engine).remember([answer(1)])
    assert asked(AttributionCache(engine), engine, 1)
    with connected(engine, write=True) as connection:
        connection.execute(text("DROP SCHEMA keydeck CASCADE"))
    book = AttributionCache(engine)
    book.remember([answer(1)])
    assert asked(book, engine, 1)
    assert not asked(AttributionCache(engine), engine, 1)


def test_a_role_that_may_not_write_the_table_remembers_in_memory(
    services: Container, superuser: Engine, engine: Engine
) -> None:
    execute(
        superuser,
        "ALTER TABLE keydeck.key_answer OWNER TO postgres",
        f"GRANT SELECT, INSERT ON keydeck.key_answer TO {OPERATOR}",
    )
    book = AttributionCache(engine)
    book.remember([answer(1)])
    assert stored(engine) == 0
    assert asked(book, engine, 1)
    assert groups(book, engine) == {PREFIX: {(ARN, "m1")}}


@pytest.mark.parametrize(
    "taken", ["REVOKE ALL ON SCHEMA keydeck FROM operator", "REVOKE ALL ON keydeck.key_answer FROM operator"]
)
def test_inspection_works_for_a_role_that_may_not_use_keydecks_schema(
    services: Container, superuser: Engine, environment: dict[str, str], taken: str
) -> None:
    services.services.status.take_census()
    execute(
        superuser,
        "ALTER SCHEMA keydeck OWNER TO postgres",
        "ALTER TABLE keydeck.key_answer OWNER TO postgres",
        "GRANT USAGE ON SCHEMA keydeck TO operator",
        taken,
    )
    container = Container(load().settings)
    first, second = container.services.status.take_census(), container.services.status.take_census()
    assert first.coverage.complete
    assert [(s.key_arn, s.tokens) for s in first.keys] == [(s.key_arn, s.tokens) for s in second.keys]
    assert container.services.inventory.page(Query("key:alias/tokens")).rows
    container.close()
