"""JSON documents of models and back: by declaration, strict, and with errors that name the key."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest

import console
import crypto_core
import screens
from crypto_core.values import json_records
from crypto_core.values.clean_text import NO_TEXT, CleanText
from crypto_core.values.references import TokenRef

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))
ROOT = Path(crypto_core.__file__).parents[1]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Leaf(json_records.JsonRecord):
    name: str
    colour: Colour
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Tree(json_records.JsonRecord):
    ref: TokenRef
    at: datetime
    day: date
    raw: bytes
    leaves: tuple[Leaf, ...]
    colours: frozenset[Colour]
    by_colour: Mapping[Colour, int]
    best: Leaf | None = None
    note: str = ""
    secret: str = "s"
    pair: tuple[str, int] = ("a", 1)
    place: str | tuple[str, ...] | None = None
    kind: Literal["oak", "elm"] = "oak"
    words: CleanText = NO_TEXT

    json_shape = json_records.shape(
        "form tree=ref ... height best_name=best.name best? note? *best -secret",
        form="tree-1",
        height=lambda tree: len(tree.leaves),
    )

    @property
    def height(self) -> int:
        return 0


REF = TokenRef("t", "c", "1")
LEAF = Leaf("l", Colour.BLUE)
TREE = Tree(REF, NOON, date(2026, 1, 2), b"\x00\xff", (LEAF,), frozenset(Colour), {Colour.RED: 2}, LEAF)


def test_a_document_has_the_fields_in_order_and_values_by_their_types() -> None:
    assert json.dumps(LEAF.as_json()) == '{"name": "l", "colour": "blue", "weight": 1.0}'
    assert list(Leaf.__slots__) == ["name", "colour", "weight"]
    assert not hasattr(LEAF, "__dict__")


def test_a_declaration_renames_leaves_out_computes_splices_and_nulls_what_is_empty() -> None:
    document = TREE.as_json()
    assert json.loads(json.dumps(document)) == document
    assert list(document.items()) == [
        ("form", "tree-1"),
        ("tree", "t.c:1"),
        ("at", "2026-05-01T12:00:00+02:00"),
        ("day", "2026-01-02"),
        ("raw", "00ff"),
        ("leaves", [{"name": "l", "colour": "blue", "weight": 1.0}]),
        ("colours", ["blue", "red"]),
        ("by_colour", {"red": 2}),
        ("pair", ["a", 1]),
        ("place", None),
        ("kind", "oak"),
        ("words", ""),
        ("height", 1),
        ("best_name", "l"),
        ("best", {"name": "l", "colour": "blue", "weight": 1.0}),
        ("note", None),
        ("name", "l"),
        ("colour", "blue"),
        ("weight", 1.0),
    ]


def test_the_moment_of_an_event_without_a_time_is_null_where_empty_is() -> None:
    @dataclass(frozen=True)
    class Seen(json_records.JsonRecord):
        first: datetime
        last: datetime

        json_shape = json_records.shape("first last?")

    none = datetime(1, 1, 1, tzinfo=UTC)
    assert Seen(none, none).as_json() == {"first": "0001-01-01T00:00:00+00:00", "last": None}


@pytest.mark.parametrize("declared", ["name nme", "name name", "name=colour name", "other=name.x missing.y"])
def test_a_declaration_that_names_nothing_or_a_key_twice_is_refused(declared: str) -> None:
    @dataclass(frozen=True)
    class Wrong(json_records.JsonRecord):
        name: str

        json_shape = json_records.shape(declared)

    with pytest.raises(TypeError, match="Wrong"):
        Wrong("a").as_json()


def test_a_value_without_a_text_of_its_own_is_no_json() -> None:
    with pytest.raises(TypeError, match="object has no JSON"):
        json_records.json_value([object()])


def test_a_model_comes_back_from_its_document() -> None:
    for tree in (TREE, Tree(REF, NOON, date(2026, 1, 2), b"", (), frozenset(), {}, place=("a", "b"))):
        assert json_records.record_of(Tree, json.loads(json.dumps(tree.as_json())), ref=REF) == tree
    assert json_records.record_of(Leaf, {"name": "", "colour": "red", "weight": 2, "more": 1}) == Leaf(
        "", Colour.RED, 2
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"at": None}, "at has a value of another kind"),
        ({"at": "2026-05-01T12:00:00"}, "at has a value of another kind"),
        ({"day": "yesterday"}, "day has a value of another kind"),
        ({"leaves": [{"name": "l", "colour": "green"}]}, r"leaves\[0\].colour has a value of another kind"),
        ({"leaves": [{"name": True, "colour": "red"}]}, r"leaves\[0\].name has a value of another kind"),
        ({"leaves": [{"colour": "red"}]}, r"leaves\[0\].name is missing"),
        ({"leaves": "all"}, "leaves has a value of another kind"),
        ({"leaves": [3]}, r"leaves\[0\] is no object"),
        ({"by_colour": {"red": True}}, "by_colour.red has a value of another kind"),
        ({"by_colour": []}, "by_colour has a value of another kind"),
        ({"raw": "xyz"}, "raw has a value of another kind"),
        ({"pair": ["a"]}, "pair has a value of another kind"),
        ({"place": 7}, "place has a value of another kind"),
        ({"kind": "ash"}, "kind has a value of another kind"),
    ],
)
def test_an_error_names_the_key_and_never_its_value(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(json_records.JsonRecordError, match=f"^{said}$"):
        json_records.record_of(Tree, TREE.as_json() | changed, ref=REF)


def test_what_is_no_object_or_lacks_a_key_is_refused() -> None:
    with pytest.raises(json_records.JsonRecordError, match="Leaf is no object"):
        json_records.record_of(Leaf, [LEAF.as_json()])
    with pytest.raises(json_records.JsonRecordError, match=r"^name is missing$"):
        json_records.record_of(Leaf, {})


def _models() -> Iterator[type[json_records.JsonRecord]]:
    for package in (crypto_core, screens, console):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            if "(JsonRecord" in path.read_text(encoding="utf-8"):
                module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
                yield from (
                    model
                    for model in vars(module).values()
                    if isinstance(model, type) and model.__module__ == module.__name__ and is_dataclass(model)
                    if issubclass(model, json_records.JsonRecord)
                )


def test_every_declaration_names_what_its_model_has() -> None:
    models = list(_models())
    assert len(models) > 100
    for model in models:
        assert json_records.json_members(model)
        assert get_type_hints(model)
