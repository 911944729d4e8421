"""A job's own censuses are shown with their time, beside what is left now."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from crypto_core.incidents.keys.census_checks import _zeroes


@pytest.mark.parametrize(
    ("zeroes", "poisoned", "under", "said"),
    [
        (0, 0, 1, []),
        (2, 0, 0, ["The last 2 censuses of job 31 found nothing left"]),
        (2, 0, 1, ["The last 2 censuses of job 31 found nothing left: what is under the key now came later"]),
        (1, 1, 1, ["The last census of job 31 found nothing left but 1 token that it could not write"]),
    ],
)
def test_censuses_that_found_nothing_do_not_contradict_what_is_left(
    zeroes: int, poisoned: int, under: int, said: list[str]
) -> None:
    view: Any = SimpleNamespace(job=SimpleNamespace(id=31), zeroes=zeroes, poisoned=poisoned)
    assert _zeroes(view, under) == said
