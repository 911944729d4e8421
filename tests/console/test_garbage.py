"""Garbage is left alone while the console is loaded, and no longer."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from console.garbage import collect_again, uncollected
from tests.screens.deck import deck


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_nothing_is_collected_until_the_end() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_loaded_by_then_is_not_looked_through_again() -> None:
    with uncollected():
        collect_again()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0


@pytest.mark.deep
async def test_the_console_collects_again_once_it_is_loaded() -> None:
    with uncollected():
        async with deck() as d:
            await d.until(gc.isenabled)
