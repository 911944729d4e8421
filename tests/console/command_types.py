"""Types of the fixtures that tests of the command ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Keydeck = Callable[..., Any]
NewKey = Callable[[], str]
Stored = Callable[[Any], str]
