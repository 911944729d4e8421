"""Every route has a screen that takes its fields."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path

import pytest

import screens
from console.application.app import NAMES, load_screen
from screens import routes
from screens.main_screen import MainScreen

ADDED = [f"screens.{found.parent.name}.routes" for found in Path(screens.__file__).parent.glob("*/routes.py")]
DESTINATIONS = [
    one
    for module in (routes, *map(import_module, ADDED))
    for one in vars(module).values()
    if is_dataclass(one) and one.__module__ == module.__name__
]


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_a_screen_takes_the_fields_of_its_destination(destination: type) -> None:
    # One leads back to a list that is open, one changes where the console works.
    if destination in (routes.NarrowedEventsRoute, routes.EstateRoute):
        assert not hasattr(destination, "SCREEN")
        return
    screen = load_screen(destination.SCREEN)  # type: ignore[attr-defined]
    assert issubclass(screen, MainScreen)
    names = [field.name for field in fields(destination)]
    inspect.signature(screen).bind(None, *names)
    wanted = [
        name
        for name, one in inspect.signature(screen).parameters.items()
        if one.kind is one.POSITIONAL_OR_KEYWORD
    ]
    assert [name.replace("expression", "filter") for name in wanted][1:] == names


@pytest.mark.parametrize("name", NAMES)
def test_every_main_screen_is_there(name: str) -> None:
    assert issubclass(load_screen(f"{name}.screen.{name.capitalize()}Screen"), MainScreen)
