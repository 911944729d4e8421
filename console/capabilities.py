"""Capabilities that may be left out: each is a folder with a manifest that says what it adds to the command.

Packages beside Keydeck bring theirs as extensions: `console.extensions`.

Nothing imports a capability. Without its folders its commands, pages, screens and query engines are missing;
asking for a command or an engine says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from console.extensions import added_capabilities
from crypto_core.values.clean_text import clean
from screens.main_screens import MAIN_SCREENS

_Entry = TypeVar("_Entry")
_NONE: Mapping[str, Any] = MappingProxyType({})


class AddedCommand(NamedTuple):
    """A command: what it does, and the one `after` which its group lists it; "" for the first."""

    does: str
    after: str = ""


class AddedPage(NamedTuple):
    """A page of the manual: its chapter and summary, and the topic `after` which it is listed."""

    chapter: str
    summary: str
    after: str = ""


class AddedDuty(NamedTuple):
    """A duty of a service: seconds between runs, what it does, a `module:function` of container and stop."""

    seconds: float
    does: str
    run: str


class Manifest(NamedTuple):
    """What a capability adds. `extras` are names of modules by the extra that brings them.

    Its name is that of its folder, in which each command is a module of that name, each page a file.
    A command in a group of the core's is named with it: "events provider", in module `events_provider`.
    """

    name: str
    commands: Mapping[str, AddedCommand] = _NONE
    pages: Mapping[str, AddedPage] = _NONE
    extras: Mapping[str, tuple[str, ...]] = _NONE
    services: Mapping[str, str] = _NONE
    """What screens and the core ask for by name: each an attribute of a `module:class` of a container."""
    settings: str = ""
    """Its settings: a `module:class` of AddedSettings."""
    screens: Mapping[str, str] = _NONE
    """Its main screens, each with the one after which it stands."""
    duties: Mapping[str, AddedDuty] = _NONE
    parts: Mapping[str, str] = _NONE
    """The modules that write parts of its pages."""
    checks: tuple[str, ...] = ()
    """Doctor's checks of what it keeps in schema `keydeck`, each as `module:name`."""
    endpoint_checks: str = ""
    """Doctor's checks of AWS's endpoints: a `module:function` of an area, the endpoints and what stops it."""
    schemas: Mapping[str, tuple[str, ...]] = _NONE
    """The models of what its commands print, each as `module:class`."""
    tools: str = ""
    """What steps of incidents do with it: a `module:function` of a container and its ToolServices."""
    event_engines: Mapping[str, str] = _NONE
    """Query engines of events, each a module: `source` makes what pulls ask, `table` what counts."""
    event_rules: str = ""
    """Rules about further events: a `module:name` of a store of events and what reads decoys."""
    further_events: Mapping[str, str] = _NONE
    """What it keeps in that store's file: a `module:class` with `count_before` and `forget_before`."""
    package: str = ""
    """Where its commands and pages are, if it isn't one of Keydeck's own."""

    @property
    def home(self) -> str:
        return self.package or f"console.{self.name}"


OWN = {
    "demo": "practice",
    "serve": "browser",
    "watch": "service",
    "notify": "service",
    "evidence": "evidence",
    **dict.fromkeys(("tripwire", "scan", "copies", "whose", "abilities", "events provider"), "forensics"),
}
"""Keydeck's own capabilities, by their commands: asking for one that is missing says so."""
OWN_ENGINES = {"athena": "engines"}
"""Those that bring a query engine, by its name."""
_OF_OTHERS = ("name", "commands", "pages", "package")
"""What the manifest of another package may have: nothing by which Keydeck concludes anything."""
OWN_TOOLS = dict.fromkeys(
    (
        *("abilities", "abilities-asked", "ask-abilities", "hashed-query", "provider-events"),
        *("provider-events-covered", "tripwires", "tripwires-known"),
        *("index of tokens", "register of copies", "search for leaked tokens"),
    ),
    "forensics",
)
"""Those that bring a tool of steps, or a service that the core asks for, by its name."""

OWN_SETTINGS = {"notify": "service"} | dict.fromkeys(("controls", "review_days", "evidence_days"), "evidence")
"""Their settings, by name: one in a settings file whose capability is missing is refused."""


@cache
def manifests() -> tuple[Manifest, ...]:
    """Return the manifests of the capabilities whose folders are here, by name, then those of packages."""
    folders = sorted(found.parent.name for found in Path(__file__).parent.glob("*/manifest.py"))
    own = tuple(import_module(f"console.{folder}.manifest").MANIFEST for folder in folders)
    return (*own, *added_capabilities(partial(_accepted, own)))


def _accepted(own: tuple[Manifest, ...], name: str, found: Any) -> Manifest:
    """Return another package's manifest, its words cleaned. Raises ValueError for what it may not add."""
    if not isinstance(found, Manifest) or found.name != name or not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ValueError(f"it is no Manifest with the name {name}, of lower-case letters, digits and hyphens")
    if name in {*OWN.values(), *OWN_ENGINES.values()} or not found.package:
        raise ValueError("it has the name of one of Keydeck's, or names no package")
    if kept := next((of for of, value in found._asdict().items() if value and of not in _OF_OTHERS), ""):
        raise ValueError(f"{kept} are only for Keydeck's own")
    for field in ("commands", "pages"):
        taken = {word for one in own for word in getattr(one, field)}
        for word in getattr(found, field):
            if word in taken or not re.fullmatch(rf"{name}-[a-z0-9-]+", word):
                raise ValueError(f"{word} in its {field} does not begin with {name}-, or is one of Keydeck's")
    return found._replace(
        commands={word: AddedCommand(*map(clean, one)) for word, one in found.commands.items()},
        pages={word: AddedPage(*map(clean, one)) for word, one in found.pages.items()},
    )


def added_commands(group: str = "") -> Iterator[tuple[str, tuple[str, str], str]]:
    """Yield what capabilities add to a group of commands, "" for all: name, module and summary, place."""
    for manifest in manifests():
        for words, one in manifest.commands.items():
            above, _, name = words.rpartition(" ")
            if above == group:
                module = words.replace(" ", "_").replace("-", "_")
                yield name, (f"{manifest.home}.{module}", one.does), one.after


def added_services() -> dict[str, Callable[[Any], Any]]:
    """Return what makes each service of the capabilities from a container; modules are imported when used."""

    def made(name: str, path: str, container: Any) -> Any:
        return getattr(container.of(resolve_name(path)), name)

    return {name: partial(made, name, path) for one in manifests() for name, path in one.services.items()}


def added_checks() -> tuple[Any, ...]:
    """Return doctor's checks of what the capabilities keep."""
    return tuple(resolve_name(path) for one in manifests() for path in one.checks)


def endpoint_checks() -> tuple[Any, ...]:
    """Return doctor's checks of AWS's endpoints that the capabilities add."""
    return tuple(resolve_name(one.endpoint_checks) for one in manifests() if one.endpoint_checks)


def event_engines() -> dict[str, str]:
    """Return the modules of the query engines of events, by name."""
    return {name: module for one in manifests() for name, module in one.event_engines.items()}


def further_events(file: Any) -> dict[str, Any]:
    """Return what the capabilities keep in the file of a store of events, by name."""
    return {name: resolve_name(at)(file) for one in manifests() for name, at in one.further_events.items()}


def not_installed(name: str, option: str = "keydeck") -> str:
    """Return the sentence for what is not here: a command, a setting, an option's engine, a tool, a service.

    "" for what is here.
    """
    words = f"{option} {name}".split()
    known = {"keydeck": OWN, "Setting": OWN_SETTINGS}.get(words[0], OWN_ENGINES | OWN_TOOLS)
    own = known.get(" ".join(words[1:]) if words[0] == "keydeck" else name)
    if own is None or any(one.name == own for one in manifests()):
        return ""
    return f"{option} {name} is not installed: this installation leaves the capability {own} out."


def main_screens() -> tuple[str, ...]:
    """Return the names of the main screens, in the order in which they stand side by side."""
    added = ((name, name, after) for one in manifests() for name, after in one.screens.items())
    return tuple(placed({own.name: own.name for own in MAIN_SCREENS}, added))


def placed(own: Mapping[str, _Entry], added: Iterable[tuple[str, _Entry, str]]) -> dict[str, _Entry]:
    """Return a table with what is added in its place: name, entry and the name after which it stands.

    Where that is left out it stands last. What has the name of another is left out itself.
    """
    names, entries = list(own), dict(own)
    for name, entry, after in added:
        if name in entries:
            continue
        place = names.index(after) + 1 if after in entries else len(names) if after else 0
        names.insert(place, name)
        entries[name] = entry
    return {name: entries[name] for name in names}
