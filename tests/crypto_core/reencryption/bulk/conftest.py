"""Two keys of the sandbox."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def keys(new_key: Callable[[], str]) -> tuple[str, str]:
    return new_key(), new_key()
