"""Keeps what the console remembers in a file of the user's state folder, from one day to the next."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from console.own_folders import state_folder
from crypto_core.lists.new_files import ExportError, replace_file
from screens.memory import Memory

_LARGEST = 1_000_000
_log = logging.getLogger(__name__)


def remembered(path: Path | None = None) -> Memory:
    """Return the memory kept in a file; an unreadable one is as good as none, and is replaced.

    Where the file can't be written, what is remembered lasts as long as the console.
    """
    folder = state_folder()
    if path is None and folder is None:
        return Memory()
    file = path or Path(str(folder)) / "console.json"
    return Memory(_read(file), lambda content: _write(file, content))


def _read(file: Path) -> dict[str, Any]:
    try:
        # A pipe would hold up the console.
        if not file.is_file() or file.stat().st_size > _LARGEST:
            return {}
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(file: Path, content: dict[str, Any]) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(file, json.dumps(content, indent=1))
    except (OSError, ExportError) as error:
        _log.info("The remembered answers can't be written: %s", error)
