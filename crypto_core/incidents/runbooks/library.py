"""The runbooks that there are: the built-in ones, then those of the team's folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path

from crypto_core.incidents.runbooks.runbook import BUILT_IN, Runbook
from crypto_core.incidents.runbooks.runbook_toml import read_runbook
from crypto_core.lists.toml_fields import shipped_files, text_of
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import RunbookError
from crypto_core.values.typed_names import meant

_FILE_LIMIT = 500
_MISSING = "The built-in runbooks are missing: the installation is incomplete."


@dataclass(frozen=True, slots=True)
class Shelf:
    """The runbooks that can be read, and why others can't, a sentence each."""

    runbooks: tuple[Runbook, ...]
    troubles: tuple[str, ...] = ()


class RunbookLibrary:
    """Reads runbooks anew each time, so that a corrected file counts at once. Thread-safe."""

    def __init__(self, folder: str | Path = "") -> None:
        """`folder` holds the team's own runbooks as *.toml; "" for none."""
        self._folder = Path(folder) if folder else None

    def read(self) -> Shelf:
        """Return all runbooks of incidents. A file that can't be read hides no other. Raises nothing."""
        runbooks: dict[str, Runbook] = {}
        troubles: list[str] = []
        for read in (self._built_in, self._own):
            for found in read():
                if isinstance(found, str):
                    troubles.append(found)
                elif found.guide:
                    continue
                elif (other := runbooks.get(found.id)) is not None:
                    told = RunbookError(
                        f"{found.source}: id {found.id} is that of another runbook ({other.source}).",
                        remedy="Give it an id of its own.",
                    )
                    troubles.append(str(told))
                else:
                    runbooks[found.id] = found
        return Shelf(tuple(runbooks.values()), tuple(troubles))

    def get(self, runbook: str) -> Runbook:
        """Return one runbook by its id. Raises RunbookError, which says what there is and what is broken."""
        shelf = self.read()
        for found in shelf.runbooks:
            if found.id == runbook:
                return found
        ids = [found.id for found in shelf.runbooks]
        raise RunbookError(
            f"There is no runbook {clean(runbook, 60)!r}; there is: {', '.join(ids) or 'none'}.",
            remedy=f"{meant(runbook, ids)}{' '.join(shelf.troubles)}",
        )

    def _built_in(self) -> Iterator[Runbook | str]:
        files = shipped_files(__package__)
        if not files:
            yield str(RunbookError(_MISSING, remedy="Install it again."))
        for file in files:
            yield _read(file, "built in", f"built-in {file.name}")

    def _own(self) -> Iterator[Runbook | str]:
        if self._folder is None:
            return
        try:
            files = sorted(file for file in self._folder.iterdir() if file.suffix == ".toml")
        except OSError as error:
            told = RunbookError(
                f"The folder of runbooks {self._folder} can't be read: {error.strerror}.",
                remedy="Check KEYDECK_RUNBOOKS.",
            )
            yield str(told)
            return
        if len(files) > _FILE_LIMIT:
            yield f"{clean(self._folder, 300)} holds more than {_FILE_LIMIT} runbooks; the rest is left out."
        for file in files[:_FILE_LIMIT]:
            yield _read(file, str(file), str(file))


@cache
def guide_runbook(runbook: str) -> Runbook:
    """Return a built-in runbook that guides, by its id. Raises RunbookError where it is missing."""
    for file in shipped_files(__package__):
        if file.name == f"{runbook}.toml":
            return _built_in(text_of(file, file.name, RunbookError), BUILT_IN, f"built-in {file.name}")
    raise RunbookError(_MISSING, remedy="Install it again.")


def _read(file: Traversable | Path, source: str, named: str) -> Runbook | str:
    try:
        text = text_of(file, named, RunbookError)
        return read_runbook(text, source) if source == named else _built_in(text, source, named)
    except RunbookError as error:
        return str(error)


def _built_in(text: str, source: str, named: str) -> Runbook:
    try:
        return read_runbook(text, source)
    except RunbookError as error:
        raise RunbookError(f"{named}: {error.message}") from error
