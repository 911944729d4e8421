"""Two keys of the sandbox."""

from __future__ import annotations

import pytest

from tests.console.command_types import NewKey


@pytest.fixture
def keys(new_key: NewKey) -> tuple[str, str]:
    return new_key(), new_key()
