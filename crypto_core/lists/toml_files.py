"""Files of TOML, Keydeck's own and a team's, read whole and bounded."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from crypto_core.errors import KeydeckError
from crypto_core.text.toml_reader import SIZE_LIMIT

BUILT_IN = "builtin"


def shipped_files(package: str) -> list[Traversable]:
    """Return the TOML files that a package brings in its folder BUILT_IN, by name."""
    folder = resources.files(package).joinpath(BUILT_IN)
    files = [file for file in folder.iterdir() if file.name.endswith(".toml")] if folder.is_dir() else []
    return sorted(files, key=lambda file: file.name)


def text_of(file: Traversable | Path, named: str, error: type[KeydeckError], remedy: str = "") -> str:
    """Return the text of a file. Raises `error`; `remedy` is for what is no file."""
    try:
        if not file.is_file():
            raise error(f"{named} is not a file.", remedy=remedy)
        with file.open("rb") as opened:
            content = opened.read(SIZE_LIMIT + 1)
    except OSError as failure:
        raise error(f"{named} can't be read: {failure.strerror}.") from failure
    if len(content) > SIZE_LIMIT:
        raise error(f"{named} is longer than {SIZE_LIMIT // 1024} KiB.")
    try:
        return content.decode()
    except UnicodeDecodeError as failure:
        raise error(f"{named} is not text in UTF-8.") from failure
