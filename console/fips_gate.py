"""Where KEYDECK_FIPS=require asks for it, no command starts unless OpenSSL is in FIPS mode."""

from __future__ import annotations

import os
from collections.abc import Sequence

OPEN = frozenset({"completion", "doctor", "help", "settings"})
"""Commands that start all the same: they say what is wrong, and open nothing."""
_HELP = frozenset({"-h", "--help"})


def require_fips_for(command: str | None, arguments: Sequence[str] = ()) -> None:
    """Pass if a command may start; None is the console. `arguments` are what stands behind its name.

    Raises SettingsError. Settings that can't be used are left to the command, which says so if it needs them.
    """
    if command in OPEN or not _HELP.isdisjoint(arguments):
        return
    from console.settings import load
    from crypto_core.algorithms.fips import VARIABLE, require_fips, require_fips_where_set
    from crypto_core.errors import SettingsError

    try:
        required = bool(load().settings.fips)
    except SettingsError:
        required = False
    if required:
        require_fips()
    else:
        require_fips_where_set({VARIABLE: os.environ.get(VARIABLE, "")})
