"""Capabilities that may be left out: each is a folder with a manifest that says what it adds to the command.

Nothing imports a capability. Without its folder its commands and pages are missing; asking for one says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, TypeVar

_Entry = TypeVar("_Entry")


class AddedCommand(NamedTuple):
    """A command: its module, what it does, and the command `after` which it is listed; "" for the first."""

    module: str
    does: str
    after: str = ""


class AddedPage(NamedTuple):
    """A page of the manual: its chapter, summary and file, and the topic `after` which it is listed."""

    chapter: str
    summary: str
    file: str
    after: str = ""


class Manifest(NamedTuple):
    """What a capability adds. `extras` are names of modules by the extra that brings them."""

    name: str
    commands: Mapping[str, AddedCommand]
    pages: Mapping[str, AddedPage]
    extras: Mapping[str, tuple[str, ...]]


OWN = {"demo": "practice", "serve": "browser", "watch": "service", "notify": "service"}
"""Keydeck's own capabilities, by their commands: asking for one that is missing says so."""


@cache
def manifests() -> tuple[Manifest, ...]:
    """Return the manifests of the capabilities whose folders are here, by name."""
    folders = sorted(found.parent.name for found in Path(__file__).parent.glob("*/manifest.py"))
    return tuple(import_module(f"console.{folder}.manifest").MANIFEST for folder in folders)


def not_installed(command: str) -> str:
    """Return the sentence for a command of a capability that is not here; "" for every other."""
    name = OWN.get(command)
    if name is None or any(one.name == name for one in manifests()):
        return ""
    return f"keydeck {command} is not installed: this installation leaves the capability {name} out."


def placed(own: Mapping[str, _Entry], added: Iterable[tuple[str, _Entry, str]]) -> dict[str, _Entry]:
    """Return a table with what is added in its place: name, entry and the name after which it stands.

    Where that is left out it stands last.
    """
    names, entries = list(own), dict(own)
    for name, entry, after in added:
        place = names.index(after) + 1 if after in entries else len(names) if after else 0
        names.insert(place, name)
        entries[name] = entry
    return {name: entries[name] for name in names}
