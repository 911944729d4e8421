"""Hostile texts wherever foreign text stands: one by default, each in the deep lane."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import pytest
from rich.cells import cell_len

from crypto_core.text.cleaning import clean
from tests.screens.deck import LARGE, SMALL, Deck
from tests.screens.samples import HOSTILE

T = TypeVar("T")

CLEANED = ("CheckResult", "ActionResult")
"""What services clean on its way, together with what an operator has entered."""


def as_built(model: T) -> T:
    """A model of foreign text as whoever builds it leaves it; tests/crypto_core/text proves that they do."""
    return _built(model, cleaning=False)


def _built(value: Any, *, cleaning: bool) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        found = {}
        for one in fields(value):
            foreign = "CleanText" in str(one.type) or (
                type(value).__name__ in CLEANED and one.name == "lines"
            )
            found[one.name] = _built(getattr(value, one.name), cleaning=foreign)
        return replace(value, **found)
    if isinstance(value, tuple):
        return tuple(_built(one, cleaning=cleaning) for one in value)
    if cleaning and isinstance(value, Mapping):
        return {clean(name): _built(one, cleaning=True) for name, one in value.items()}
    return clean(value, 4_000) if cleaning and isinstance(value, str) else value


_MARKUP = HOSTILE[0]
_THE_REST = "".join(HOSTILE[1:-1])
_ALONE = [
    pytest.param(text, marks=pytest.mark.deep, id=f"alone-{n}") for n, text in enumerate(HOSTILE[1:], 1)
]

EACH_TEXT = pytest.mark.parametrize(
    "text",
    [
        pytest.param(_MARKUP, id="markup", marks=pytest.mark.deep),
        pytest.param(_THE_REST, id="the rest"),
        *_ALONE,
    ],
)
EACH_TEXT_AND_SIZE = pytest.mark.parametrize(
    ("text", "size"),
    [
        pytest.param(_MARKUP, SMALL, id="markup-small"),
        pytest.param(_THE_REST, LARGE, id="the rest-large", marks=pytest.mark.deep),
        *(
            pytest.param(text, [SMALL, LARGE][n % 2], marks=pytest.mark.deep, id=f"alone-{n}")
            for n, text in enumerate(HOSTILE)
        ),
    ],
)


def assert_harmless(d: Deck, size: tuple[int, int]) -> None:
    width, height = size
    lines = d.lines()
    assert len(lines) == height
    for line in lines:
        assert cell_len(line) == width
        assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs")]


async def harmless_after(d: Deck, size: tuple[int, int], *presses: str) -> None:
    """Press keys, one after another where a word has several; all that is shown on the way is harmless."""
    assert_harmless(d, size)
    for keys in presses:
        await d.press(*keys.split())
        assert_harmless(d, size)
