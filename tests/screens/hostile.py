"""Hostile texts wherever foreign text stands: one by default, each in the deep lane."""

from __future__ import annotations

import pytest

from tests.screens.deck import LARGE, SMALL
from tests.screens.samples import HOSTILE

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
