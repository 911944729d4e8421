"""The catalogues that there are: the built-in ones, then those of the team."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources.abc import Traversable
from pathlib import Path

from crypto_core.compliance.catalogue_toml import read_catalogue
from crypto_core.compliance.control import ControlCatalogue, Exemption, FrameworkControl
from crypto_core.lists.toml_fields import shipped_files, text_of
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.errors import ControlError, SettingsError
from crypto_core.values.typed_names import meant

_FILE_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Controls:
    """All controls with their owners, by framework as they are declared, and what else catalogues say.

    `exemptions` are by control, the one that ends last first. `troubles` are why something can't be read, a
    sentence each.
    """

    catalogues: tuple[ControlCatalogue, ...]
    controls: tuple[FrameworkControl, ...]
    exemptions: Mapping[str, Exemption]
    troubles: tuple[str, ...] = ()

    @property
    def frameworks(self) -> tuple[CleanText, ...]:
        return tuple(dict.fromkeys(control.framework.id for control in self.controls))

    def require(self, framework: str) -> None:
        """Return if there are controls of a framework, or for "". Raises SettingsError."""
        if framework and framework not in self.frameworks:
            known = ", ".join(self.frameworks)
            raise SettingsError(
                f"No catalogue has framework {clean(framework, 60)!r}.",
                remedy=f"{meant(framework, self.frameworks)}Frameworks: {known}.",
            )


class ControlLibrary:
    """Reads catalogues anew each time, so that a corrected file counts at once. Thread-safe."""

    def __init__(self, place: str | Path = "") -> None:
        """`place` is the team's own file, or a folder of *.toml; "" for none."""
        self._place = Path(place) if place else None

    def read(self) -> Controls:
        """Return all controls. A file that can't be read hides no other. Raises nothing."""
        catalogues: dict[str, ControlCatalogue] = {}
        troubles: list[str] = []
        taken: dict[str, CleanText] = {}
        for found in (*self._built_in(), *self._own()):
            trouble = found if isinstance(found, str) else _clash(found, catalogues, taken)
            if trouble:
                troubles.append(trouble)
            elif isinstance(found, ControlCatalogue):
                catalogues[found.id] = found
                taken |= {control.id: found.source for control in found.controls}
        troubles += _unknown(catalogues.values(), taken)
        return _joined(tuple(catalogues.values()), tuple(troubles))

    def _built_in(self) -> Iterator[ControlCatalogue | str]:
        files = shipped_files(__package__)
        if not files:
            missing = "The built-in controls are missing: the installation is incomplete."
            yield str(ControlError(missing, remedy="Install it again."))
        for file in files:
            yield _read(file, f"built-in {file.name}")

    def _own(self) -> Iterator[ControlCatalogue | str]:
        if self._place is None:
            return
        try:
            folder = self._place.is_dir()
            inside = sorted(self._place.iterdir()) if folder else [self._place]
        except OSError as error:
            told = ControlError(
                f"The catalogues in {self._place} can't be read: {error.strerror}.",
                remedy="Check KEYDECK_CONTROLS.",
            )
            yield str(told)
            return
        files = [file for file in inside if file.suffix == ".toml"] if folder else inside
        if len(files) > _FILE_LIMIT:
            yield f"{clean(self._place, 300)} holds more than {_FILE_LIMIT} catalogues; the rest is left out."
        for file in files[:_FILE_LIMIT]:
            yield _read(file, str(file))


def _read(file: Traversable | Path, named: str) -> ControlCatalogue | str:
    try:
        return read_catalogue(text_of(file, named, ControlError, "Check KEYDECK_CONTROLS."), named)
    except ControlError as error:
        return str(error)


def _clash(found: ControlCatalogue, before: Mapping[str, ControlCatalogue], taken: Mapping[str, str]) -> str:
    """Why a catalogue is not taken beside those before it, "" if it is."""
    if (other := before.get(found.id)) is not None:
        return str(
            ControlError(f"{found.source}: id {found.id} is that of another catalogue ({other.source}).")
        )
    for control in found.controls:
        if (where := taken.get(control.id)) is not None:
            told = f"{found.source}: control {control.id}: id is that of another control ({where})."
            return str(ControlError(told))
    return ""


def _unknown(catalogues: Iterable[ControlCatalogue], taken: Mapping[str, str]) -> Iterator[str]:
    """What names a control that there isn't, a sentence each."""
    for one in catalogues:
        named = [("owners", name) for name in one.owners]
        named += [("exception", exemption.control) for exemption in one.exemptions]
        for field, control in named:
            if control not in taken:
                yield str(ControlError(f"{one.source}: {field}: there is no control {control!r}."))


def _joined(catalogues: tuple[ControlCatalogue, ...], troubles: tuple[str, ...]) -> Controls:
    owners = {name: owner for one in catalogues for name, owner in one.owners.items()}
    controls = tuple(
        replace(control, owner=owners.get(control.id, control.owner))
        for one in catalogues
        for control in one.controls
    )
    exemptions: dict[str, Exemption] = {}
    for one in sorted((e for c in catalogues for e in c.exemptions), key=lambda e: e.until):
        exemptions[one.control] = one
    return Controls(catalogues, controls, exemptions, troubles)
