"""Keeps what the console remembers in a file of the user's state folder, from one day to the next."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from console.own_folders import state_folder
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
    """Replace the file whole, so that a crash leaves the old one or the new one."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".console-", dir=file.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as temporary:
                json.dump(content, temporary, ensure_ascii=True, indent=1)
            Path(name).replace(file)
        except BaseException:  # raised again; no half file is left
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        _log.info("The remembered answers can't be written to %s: %s", file, error.strerror)
