"""Services over a settings file with tables of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from console.container import Container
from console.settings import load


@pytest.fixture
def with_tables(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Container]]:
    """Wires services over a settings file with tables of its own."""
    made: list[Container] = []

    def make(tables: str) -> Container:
        file = tmp_path / f"{uuid4().hex}.toml"
        file.write_text(tables)
        monkeypatch.setenv("KEYDECK_SETTINGS", str(file))
        made.append(Container(load().settings))
        return made[-1]

    yield make
    for container in made:
        container.close()
