"""Extensions: installed packages that offer rules, providers or report sections, as far as settings allow.

A package is never loaded because it is installed: it runs in Keydeck, with all that Keydeck may do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from crypto_core.errors import SettingsError
from crypto_core.text.clean_text import clean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

RULES, PROVIDERS, SECTIONS = "keydeck.rules", "keydeck.providers", "keydeck.report_sections"
"""The groups of entry points: a module that declares rules, a `Provider`, a function that makes a section."""
GROUPS = (RULES, PROVIDERS, SECTIONS)
_in_use: set[str] = set()


def use_extensions(names: Iterable[str]) -> None:
    """Load what these packages offer, and from then on use no other package's.

    Raises SettingsError for one that isn't installed, or what it offers can't be loaded or isn't what it is
    offered as.
    """
    from crypto_core.findings.registry import allow_packages

    wanted = tuple(dict.fromkeys(names))
    offered = {name: _offered(name) for name in wanted}
    for name, entries in offered.items():
        if RULES in entries:
            _load_rules(name, entries[RULES])
    allow_packages(wanted)
    if wanted or _in_use:  # else the rooms that they extend need not be loaded
        _use_providers({name: found[PROVIDERS] for name, found in offered.items() if PROVIDERS in found})
        _use_sections({name: found[SECTIONS] for name, found in offered.items() if SECTIONS in found})
    _in_use.clear()
    _in_use.update(wanted)


def _offered(name: str) -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    found = {group: one for group in GROUPS for one in entry_points(group=group) if one.name == name}
    if not found:
        known = sorted({clean(one.name, 60) for group in GROUPS for one in entry_points(group=group)})
        raise SettingsError(
            f"Setting extensions: no package here offers anything as {clean(name, 60)!r}.",
            remedy=f"Offered as entry points of {', '.join(GROUPS)}: {', '.join(known) or 'nothing'}.",
        )
    return found


def _load_rules(name: str, entry: EntryPoint) -> None:
    from crypto_core.findings.registry import declaring_for

    with declaring_for(name):
        _loaded(name, entry)


def _use_providers(entries: dict[str, EntryPoint]) -> None:
    from crypto_core.providers.registry import Provider, use_providers

    found = {name: _of_kind(name, entry, Provider, "a Provider") for name, entry in entries.items()}
    try:
        use_providers(found.values())
    except ValueError as error:
        raise SettingsError(f"Setting extensions: {clean(error, 200)}.") from error


def _use_sections(entries: dict[str, EntryPoint]) -> None:
    from crypto_core.incidents.report.own_sections import use_sections

    found = {name: _of_kind(name, entry, Callable, "a function") for name, entry in entries.items()}
    use_sections(found)


def _of_kind(name: str, entry: EntryPoint, kind: Any, words: str) -> Any:
    found = _loaded(name, entry)
    if not isinstance(found, kind):
        raise SettingsError(f"Setting extensions: what {name} offers as {entry.group} is not {words}.")
    return found


def _loaded(name: str, entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:  # whatever a foreign module raises as it is imported
        raise SettingsError(
            f"The {entry.group} of {clean(name, 60)} can't be loaded: "
            f"{type(error).__name__}: {clean(error, 300)}.",
            remedy="Mend the package, or take it out of extensions.",
        ) from error
