"""Hostile texts wherever foreign text stands: one by default, all in the deep lane, alone in the long one."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import pytest
from rich.cells import cell_len

from crypto_core.values.clean_text import clean
from tests.lanes import examples
from tests.screens.deck import LARGE, SMALL, Deck
from tests.screens.samples import HOSTILE

T = TypeVar("T")

CLEANED = ("CheckResult", "ActionResult")
"""What services clean on its way, together with what an operator has entered."""


def as_built(model: T) -> T:
    """A model of foreign text as its builder leaves it; tests/crypto_core/values proves it."""
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


_TOGETHER = {"markup": HOSTILE[0], "the rest": "".join(HOSTILE[1:-1]), "wide": HOSTILE[-1]}
_ALONE = {f"alone-{n}": HOSTILE[n] for n in range(1, examples(len(HOSTILE) - 1, quick=1, deep=1))}
"""Each for itself, in the long lane alone."""


def _each(quick: str, *sizes: tuple[int, int]) -> Any:
    """Texts, each in one of the sizes in turn; the default lane has the one that is named."""
    cases = []
    for n, (name, text) in enumerate((_TOGETHER | _ALONE).items()):
        marks = () if name == quick else pytest.mark.long if name in _ALONE else pytest.mark.deep
        cases.append(pytest.param(text, *sizes[n % 2 :][:1], id=name, marks=marks))
    return pytest.mark.parametrize(("text", "size")[: 1 + bool(sizes)], cases)


EACH_TEXT = _each("the rest")
EACH_TEXT_AND_SIZE = _each("markup", SMALL, LARGE)


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
