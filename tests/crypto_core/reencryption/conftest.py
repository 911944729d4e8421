"""Nothing here waits long for KMS."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _short_waits(short_waits: None) -> None:
    pass
