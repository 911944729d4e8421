"""Files of the manual, written into a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crypto_core.errors import SettingsError
from crypto_core.text.cleaning import clean


def write_files(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write texts by name into a folder, over earlier ones; return the files. Raises SettingsError."""
    files = {folder / name: text for name, text in texts.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        where = clean(error.filename or folder, 300)
        raise SettingsError(
            f"{where} can't be written: {error.strerror}.", remedy="Name a folder that you can write to."
        ) from error
    return list(files)
