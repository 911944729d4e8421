"""Hostile texts wherever foreign text stands: two in the default lane, each one alone in the deep lane."""

from __future__ import annotations

import pytest

from tests.screens.deck import LARGE, SMALL
from tests.screens.samples import HOSTILE

_MARKUP = HOSTILE[0]
_THE_REST = "".join(HOSTILE[1:])
_ALONE = [
    pytest.param(text, marks=pytest.mark.deep, id=f"alone-{n}") for n, text in enumerate(HOSTILE[1:], 1)
]
_SIZES = {"small": SMALL, "large": LARGE}

EACH_TEXT = pytest.mark.parametrize(
    "text", [pytest.param(_MARKUP, id="markup"), pytest.param(_THE_REST, id="the rest"), *_ALONE]
)
EACH_TEXT_AND_SIZE = pytest.mark.parametrize(
    ("text", "size"),
    [
        pytest.param(_MARKUP, SMALL, id="markup-small"),
        pytest.param(_THE_REST, LARGE, id="the rest-large"),
        *(
            pytest.param(text, size, marks=pytest.mark.deep, id=f"alone-{n}-{name}")
            for n, text in enumerate(HOSTILE)
            for name, size in _SIZES.items()
        ),
    ],
)
