"""Extensions: installed packages that offer rules, providers and more, as far as settings allow.

A package is never loaded because it is installed: it runs in Keydeck, with all that Keydeck may do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

RULES, PROVIDERS, SECTIONS = "keydeck.rules", "keydeck.providers", "keydeck.report_sections"
"""The groups of entry points: a module that declares rules, a `Provider`, a function that makes a section."""
CAPABILITIES = "keydeck.capabilities"
"""The group of manifests, as `console.capabilities` has them."""
GROUPS = (RULES, PROVIDERS, SECTIONS, CAPABILITIES)
_MEND = "Mend the package, or take it out of extensions."
_Manifest = TypeVar("_Manifest")
_in_use: set[str] = set()
_refused: dict[str, SettingsError] = {}
"""Why the manifest of a package is not used."""


def use_extensions(names: Iterable[str]) -> None:
    """Load what these packages offer, and from then on use no other package's.

    Raises SettingsError for one that isn't installed, or what it offers can't be loaded or isn't what it is
    offered as.
    """
    from crypto_core.findings.registry import allow_packages

    wanted = tuple(dict.fromkeys(names))
    offered = {name: _offered(name) for name in wanted}
    if wrong := next((_refused[name] for name in wanted if name in _refused), None):
        raise wrong
    for name, entries in offered.items():
        if RULES in entries:
            _load_rules(name, entries[RULES])
    allow_packages(wanted)
    if wanted or _in_use:  # else the rooms that they extend need not be loaded
        _use_providers({name: found[PROVIDERS] for name, found in offered.items() if PROVIDERS in found})
        _use_sections({name: found[SECTIONS] for name, found in offered.items() if SECTIONS in found})
    _in_use.clear()
    _in_use.update(wanted)


def added_capabilities(accepted: Callable[[str, Any], _Manifest]) -> Iterator[_Manifest]:
    """Yield the manifests of the packages that settings name, as `accepted` returns them.

    Commands are listed by them, so an error is kept for `use_extensions`.
    """
    for name in _named():
        from importlib.metadata import entry_points

        from console.secrecy import guard_process

        guard_process()  # commands are listed before it is guarded otherwise
        entries = tuple(entry_points(group=CAPABILITIES, name=name))
        try:
            if len(entries) > 1:
                raise ValueError(f"{len(entries)} packages offer it")  # noqa: TRY301  # it ends as any other
            found = [accepted(name, _loaded(name, entry)) for entry in entries]
        except SettingsError as error:
            _refused[name] = error
        except Exception as error:  # noqa: BLE001  # whatever a foreign manifest is made of
            said = f"what {clean(name, 60)} offers as {CAPABILITIES} can't be used: {clean(error, 300)}"
            _refused[name] = SettingsError(f"Setting extensions: {said}.", remedy=_MEND)
        else:
            yield from found


def _named() -> tuple[str, ...]:
    """Return the packages that the environment or the settings file names; () where it can't be read.

    Loading the settings takes longer than a list of commands may. A pipe could be read only once.
    """
    import os

    from console.own_folders import settings_file

    # In any case, as pydantic reads variables.
    given: Any = next((at for of, at in os.environ.items() if of.upper() == "KEYDECK_EXTENSIONS"), None)
    path = None if given else settings_file()
    try:
        if path is not None and path.is_file():
            from crypto_core.lists.toml_fields import SIZE_LIMIT, read_toml

            with path.open("rb") as file:
                given = read_toml(file.read(SIZE_LIMIT + 1)).get("extensions")
    except (OSError, ValueError):
        return ()  # whatever loads the settings says so
    names = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else ()
    return tuple(dict.fromkeys(name.strip() for name in names if isinstance(name, str) and name.strip()))


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
    except (Exception, SystemExit) as error:  # whatever a foreign module raises as it is imported
        raise SettingsError(
            f"The {entry.group} of {clean(name, 60)} can't be loaded: "
            f"{type(error).__name__}: {clean(error, 300)}.",
            remedy=_MEND,
        ) from error
