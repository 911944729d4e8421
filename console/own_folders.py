"""The user's own folders for state, data and settings, also of a user who has none; and the command itself.

A container may run a process as a user without HOME and without an entry in the system's list of users: what
would be kept in such a folder is not, and everything else works. XDG Base Directory Specification.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tempfile

FILE_VARIABLE = "KEYDECK_SETTINGS"
NO_HOME = (
    "There is no home folder: CloudTrail's events, reviews and suppressions are kept for this run alone. "
    "Set HOME, or name a file with KEYDECK_EVENTS_FILE."
)


def home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None


def state_folder() -> Path | None:
    """Return the folder for Keydeck's state: XDG_STATE_HOME, else ~/.local/state; None without either."""
    return _folder("XDG_STATE_HOME", ".local/state")


def data_folder() -> Path:
    """Return XDG_DATA_HOME or ~/.local/share; without either a private folder, gone with this process."""
    return _folder("XDG_DATA_HOME", ".local/share") or Path(_passing_folder().name)


def settings_folder() -> Path | None:
    """Return the folder for Keydeck's settings: XDG_CONFIG_HOME, else ~/.config; None without either."""
    return _folder("XDG_CONFIG_HOME", ".config")


def settings_file() -> Path | None:
    """Return the settings file: KEYDECK_SETTINGS, else in the user's folder; None for a user without one."""
    if os.environ.get(FILE_VARIABLE):
        return Path(os.environ[FILE_VARIABLE])
    folder = settings_folder()
    return None if folder is None else folder / "settings.toml"


def keeps_data() -> bool:
    """True where the data folder stays."""
    return _folder("XDG_DATA_HOME", ".local/share") is not None


def _folder(variable: str, below_home: str) -> Path | None:
    base = os.environ.get(variable, "")
    # "All paths set in these environment variables must be absolute": others are to be ignored.
    if base.startswith("/"):
        return Path(base) / "keydeck"
    own = home()
    return own / below_home / "keydeck" if own is not None else None


@cache
def _passing_folder() -> tempfile.TemporaryDirectory[str]:
    import tempfile

    return tempfile.TemporaryDirectory(prefix="keydeck-")


def this_command() -> str:
    """Return the path of the command that runs here, or of the one beside this Python."""
    executable = Path(sys.argv[0]).resolve()
    return str(executable if executable.name == "keydeck" else Path(sys.executable).with_name("keydeck"))
