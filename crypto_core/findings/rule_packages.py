"""Rules of other packages: modules that they name as entry points of one group, and that the settings allow.

A package is never loaded because it is installed: it runs with all that this process may do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from crypto_core.errors import SettingsError
from crypto_core.findings.registry import allow_packages, declaring_for
from crypto_core.text.cleaning import clean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "keydeck.rules"
"""The entry points' group: each has the package's short name and the module that declares its rules."""


def use_packages(names: Iterable[str]) -> None:
    """Load the rules of these packages, and from then on use no other package's.

    Raises SettingsError for a package that isn't installed, that can't be imported, or whose rules don't
    begin with its name and a hyphen.
    """
    wanted = tuple(dict.fromkeys(names))
    for name in wanted:
        _load(name, _entry_point(name))
    allow_packages(wanted)


def _entry_point(name: str) -> EntryPoint:
    from importlib.metadata import entry_points

    found = entry_points(group=GROUP)
    try:
        return found[name]
    except KeyError:
        known = ", ".join(sorted(clean(one, 60) for one in found.names)) or "none"
        raise SettingsError(
            f"Setting rule_packages: no package here offers rules as {clean(name, 60)!r}.",
            remedy=f"Offered as entry points of group {GROUP}: {known}.",
        ) from None


def _load(name: str, entry: EntryPoint) -> None:
    try:
        with declaring_for(name):
            entry.load()
    except Exception as error:  # whatever a foreign module raises as it is imported
        raise SettingsError(
            f"The rules of {clean(name, 60)} can't be loaded: {type(error).__name__}: {clean(error, 300)}.",
            remedy="Mend the package, or take it out of rule_packages.",
        ) from error
