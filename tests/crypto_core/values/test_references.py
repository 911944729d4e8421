"""Token references: what is written names exactly one token, whatever its table, schema, row and member."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crypto_core.envelope.encryption_context import encode, encryption_context
from crypto_core.trail.record_reader import _token
from crypto_core.values import references
from crypto_core.values.errors import InvalidReferenceError
from tests.lanes import examples

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=20)
schemas = st.none() | texts.filter(bool)
names = st.from_regex(r"[A-Za-z_]\w{0,10}", fullmatch=True)
printable = st.text(st.characters(codec="ascii", exclude_categories=("C",)), min_size=1, max_size=20)


@settings(max_examples=examples(300))
@given(schemas, names)
@example("-a", "t")
@example("a.b%2E\u202e", "t")
@example("a:b", "t")
def test_a_tables_name_round_trips_and_has_nothing_that_a_reference_parts(
    schema: str | None, table: str
) -> None:
    name = references.table_name(schema, table)
    assert references.split_name(name) == (schema, table)
    assert name.count(".") == (schema is not None)
    assert not set(name) & set(": ,\"'*\n/#")
    assert not name.startswith("-")


@settings(max_examples=examples(300))
@given(schemas, names, names, printable)
def test_a_reference_names_one_place(schema: str | None, table: str, column: str, row: str) -> None:
    name = references.table_name(schema, table)
    assert references.parse_reference(f"{name}.{column}:{row}") == references.TokenRef(name, column, row)
    assert references.parse_reference(str(references.TokenRef(name, column, row))) == references.TokenRef(
        name, column, row
    )
    assert references.parse_reference(str(references.RowRef(name, row))) == references.RowRef(name, row)
    context = encryption_context(references.TokenRef(name, column, row))
    assert _token(context) == references.TokenRef(name, column, row)
    assert context.get("keydeck:schema") == schema
    # The schema is bound: elsewhere the same row is another one.
    assert encode(context) != encode(
        encryption_context(references.TokenRef(references.table_name(f"{schema}x", table), column, row))
    )


@settings(max_examples=examples(300))
@given(st.lists(texts, min_size=2, max_size=4), texts)
@example(["a/b", "%2F", "", "/"], "#m")
def test_a_composite_id_round_trips_within_a_members_identity(parts: list[str], member: str) -> None:
    row_id = references.composite_id(parts)
    assert references.id_parts(row_id) == parts
    ref = references.TokenRef("vault", "secrets", row_id, member)
    assert references.token_ref("vault", "secrets", ref.identity) == ref


@settings(max_examples=examples(200))
@given(st.text(st.sampled_from("ab.:%20*-\n#"), max_size=14))
def test_whatever_is_typed_is_one_reference_or_none(typed: str) -> None:
    try:
        parsed = references.parse_reference(typed)
    except InvalidReferenceError:
        return
    if typed.isprintable():
        assert str(parsed) == typed or typed.partition(":")[0] == f"{parsed.table}.*"
    schema, table = references.split_name(parsed.table)
    assert references.table_name(schema, table) == parsed.table


@pytest.mark.parametrize(
    "typed", ["a.b.c.d:1", ".b.c:1", "a%2E.b.c", "%2d.b.c:1", "%41.b.c:1", "a b.b.c:1", "a..c:1"]
)
def test_a_schema_is_spelt_in_one_way_only(typed: str) -> None:
    with pytest.raises(InvalidReferenceError, match="Not a token reference"):
        references.parse_reference(typed)


def test_a_name_that_no_table_has_is_not_taken_for_one_in_a_schema() -> None:
    for name in ("a.", ".a", "%41.a", "%FF.a", "\ud800.a", "a b.a"):
        assert references.split_name(name) == (None, name)


def test_the_platforms_secrets_columns_are_known_in_every_schema() -> None:
    assert references.parse_reference("t_a.connectors.secret_json:1#bot") == references.TokenRef(
        "t_a.connectors", "secret_json", "1", "bot"
    )
    with pytest.raises(InvalidReferenceError, match="the schema has 64 bytes"):
        encryption_context(references.TokenRef(f"{'s' * 64}.t", "c", "1"))
