"""A key's materials as a band over time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.printed.key_document import KeyDocument
from crypto_core.keys.state import KeyMaterial
from crypto_core.keys.status import KeyShare, Status
from crypto_core.lists.coverage import Coverage, Evidence
from screens.keys.detail import material_lines
from screens.keys.key_screen import NARROWEST, pieces, timeline
from tests.screens.samples import CURRENT, KEYS, MATERIALS, NOW

KEY = KEYS[0]
COUNTS = {MATERIALS[0]: 0, MATERIALS[1]: 2_493, MATERIALS[2]: 7_311}


def status(counts: dict[str, int]) -> Status:
    shares = [
        KeyShare(CURRENT, "alias/tokens", "Enabled", material, tokens, Evidence.INFERRED)
        for material, tokens in counts.items()
        if tokens
    ]
    return Status(NOW, sum(counts.values()), {}, (), tuple(shares), (), Coverage())


def test_each_material_is_as_long_as_it_was_current() -> None:
    first, second, third = pieces(KEY, COUNTS, NOW, 100)
    assert (first.name, second.name, third.name) == ("1", "2", "3")
    # 365, 364 and 111 of 840 days, beside five cells each.
    assert (first.cells, second.cells, third.cells) == (42, 42, 16)
    assert (first.tokens, second.tokens, third.tokens) == (0, 2_493, 7_311)
    assert third.since == KEY.materials[2].since


def test_the_band_shows_tokens_and_dates() -> None:
    lines = [line.plain for line in timeline(KEY, status(COUNTS), NOW, 104)]
    assert lines[0].split() == ["1", "2", "3"]
    assert lines[1].endswith("▏ now")
    assert lines[1].count("▕") == 3
    assert lines[2].split() == ["0", "2,493", "7,311"]
    assert lines[3].split("  ")[0].strip() == "13 Mar 2024"
    assert "12 Mar" in lines[3]
    bands = lines[1].split("▕")[1:]
    assert [band.count("█") for band in bands] == [0, 13, 14]


def test_tokens_of_all_replicas_are_on_the_materials_of_the_key() -> None:
    here, there = (
        f"arn:aws:kms:{region}:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab"
        for region in ("eu-west-1", "us-east-1")
    )
    key, found = replace(KEY, key_arn=here), status(COUNTS)
    first, second = found.keys
    found = replace(found, keys=(replace(first, key_arn=here), replace(second, key_arn=there)))
    assert [line.plain for line in timeline(key, found, NOW, 104)][2].split() == ["0", "2,493", "7,311"]
    lines = [line.content.plain for line in material_lines(key, found, NOW, 120)]
    assert any("7,311" in row for row in lines)
    document = KeyDocument(key, found).as_json()
    assert sum(one["tokens"] for one in document["tokens_by_material"]) == document["tokens"] == 9_804


def test_what_is_not_counted_yet_is_a_question_mark() -> None:
    assert [line.plain.split() for line in timeline(KEY, None, NOW, 80)][2] == ["?", "?", "?"]


def test_the_oldest_stand_together_where_there_are_too_many() -> None:
    materials = tuple(
        KeyMaterial(f"{n:064x}", "NON_CURRENT", NOW - timedelta(days=1000 - n)) for n in range(26)
    )
    key = replace(KEY, materials=materials)
    band = pieces(key, {m.key_material_id: 1 for m in materials}, NOW, 50)
    assert [piece.name for piece in band] == ["1-17", *(str(n) for n in range(18, 27))]
    assert band[0].tokens == 17
    assert sum(piece.tokens or 0 for piece in band) == 26
    assert all(line.cell_length <= 54 for line in timeline(key, None, NOW, 54))


def test_a_number_is_never_cut_to_another_one() -> None:
    crowded = replace(
        KEY,
        materials=tuple(
            KeyMaterial(m, "NON_CURRENT", NOW - timedelta(hours=3 - n)) for n, m in enumerate(MATERIALS)
        ),
        created_at=NOW - timedelta(hours=3),
    )
    counts = {MATERIALS[0]: 1_234_567, MATERIALS[1]: 999_499, MATERIALS[2]: 12}
    line = timeline(crowded, status(counts), NOW, 3 * NARROWEST + 4)[2].plain
    assert line.split() == ["1M", "999k", "12"]


@pytest.mark.parametrize(
    "materials",
    [
        (),
        (KeyMaterial("m", "CURRENT", None),),
        (KeyMaterial("m", "PENDING_ROTATION", NOW + timedelta(days=1)),),
    ],
)
def test_without_a_date_there_is_no_picture(materials: tuple[KeyMaterial, ...]) -> None:
    assert timeline(replace(KEY, materials=materials), status(COUNTS), NOW, 100) == []


def test_without_room_there_is_no_picture() -> None:
    assert timeline(KEY, status(COUNTS), NOW, NARROWEST) == []


@given(
    ages=st.lists(st.integers(min_value=0, max_value=4_000), min_size=1, max_size=40),
    width=st.integers(min_value=NARROWEST, max_value=300),
)
def test_the_pieces_fill_the_band_exactly_and_lose_no_token(ages: list[int], width: int) -> None:
    days = sorted(ages, reverse=True)
    materials = tuple(
        KeyMaterial(f"{n:064x}", "NON_CURRENT", NOW - timedelta(days=d)) for n, d in enumerate(days)
    )
    band = pieces(replace(KEY, materials=materials), {m.key_material_id: 1 for m in materials}, NOW, width)
    assert sum(piece.cells for piece in band) == width
    assert all(piece.cells >= NARROWEST for piece in band)
    assert sum(piece.tokens or 0 for piece in band) == len(materials)
    assert [piece.first for piece in band] == [1, *(piece.last + 1 for piece in band[:-1])]
    assert band[-1].last == len(materials)
