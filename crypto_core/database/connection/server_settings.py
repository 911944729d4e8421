"""PostgreSQL's settings that a URL asks for, made in each transaction and never sent at start-up.

A pooler refuses options at start-up (PgBouncer, RDS Proxy), or gives the next transaction another session.
PostgreSQL documentation, section 20.1.3 (options) and "System Administration Functions" (set_config).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from crypto_core.database.connection.url_parameters import ON
from crypto_core.errors import SettingsError
from crypto_core.text.clean_text import clean

LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
"""A stricter one than Keydeck's own is heeded."""

OWN: Mapping[str, str] = {
    **{
        f"{default}transaction_{name}": "each transaction has its own"
        for default in ("default_", "")
        for name in ("isolation", "deferrable")
    },
    **dict.fromkeys(
        ("client_encoding", "datestyle", "standard_conforming_strings"), "the driver relies on it"
    ),
    "application_name": "its sessions are named keydeck",
    "jit": "Keydeck sets it itself",
}
"""Settings that are Keydeck's own, and why."""

SEARCH_PATH = "search_path"
OWN_PATH = "keydeck.search_path"
"""Keeps the URL's search path; without one, that of role and database counts."""
_READ_ONLY = ("default_transaction_read_only", "transaction_read_only")
_ROUTES = ("endpoint", "project", "reference")
"""Read by Neon's and Supabase's poolers in options: the database that is meant."""
_UNITS = {"us": 0.001, "ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Set in each transaction; `notes` name what is left out and why."""

    values: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    """In milliseconds, by the names in LIMITS."""
    read_only: bool = False
    route: str = ""
    """Sent in options at start-up all the same, for a pooler."""
    notes: tuple[str, ...] = ()

    @property
    def limiting(self) -> str:
        """SQL without %, for the transaction."""
        return _calls({name: str(limit) for name, limit in self.limits.items()})

    @property
    def setting(self) -> str:
        """SQL without % for the other settings."""
        others = {name: value for name, value in self.values.items() if name != SEARCH_PATH}
        # Also where none is asked for: a policy may have left one in the session.
        return _calls({OWN_PATH: self.values.get(SEARCH_PATH, "")} | others)


def _calls(settings: Mapping[str, str]) -> str:
    calls = (f"pg_catalog.set_config({_literal(n)}, {_literal(v)}, true)" for n, v in settings.items())
    asked = ", ".join(calls)
    return f"SELECT {asked}; " if asked else ""


def server_settings(wanted: list[tuple[str, str]], options: list[str], source: str) -> ServerSettings:
    """Return the settings of parameters and `options`; of two by one name the later counts.

    Raises SettingsError, which repeats no value.
    """
    route: list[str] = []
    settings: dict[str, str] = {}
    for name, value in (*_of_options(options, route, source), *wanted):
        if re.fullmatch(r"[a-z_][a-z0-9_$]*(\.[a-z_][a-z0-9_$]*)*", name) is None or "\x00" in value:
            raise SettingsError(f"{source} sets {clean(name, 60)!r}, which is no setting of PostgreSQL.")
        settings[name] = value
    notes = tuple(f"{name} ({OWN[name]})" for name in settings if name in OWN)
    limits = {name: _milliseconds(name, settings[name], source) for name in LIMITS if name in settings}
    return ServerSettings(
        values={n: v for n, v in settings.items() if n not in (*OWN, *LIMITS, *_READ_ONLY)},
        limits={name: limit for name, limit in limits.items() if limit > 0},
        read_only=any(settings.get(name, "").lower() in ON for name in _READ_ONLY),
        route=" ".join(route),
        notes=notes,
    )


def _of_options(options: list[str], route: list[str], source: str) -> Iterator[tuple[str, str]]:
    """Settings by `-c name=value` and `--name=value`, as on PostgreSQL's own command line."""
    words = [re.sub(r"\\(.)", r"\1", w, flags=re.DOTALL) for o in options for w in _words(o)]
    rest = iter(words)
    for word in rest:
        if word.partition("=")[0] in _ROUTES:
            route.append(word)
            continue
        text = next(rest, "") if word == "-c" else word.removeprefix("-c").removeprefix("--")
        name, equals, value = text.partition("=")
        if not word.startswith(("-c", "--")) or not equals:
            raise SettingsError(
                f"{source} has options that are not understood: {clean(word.partition('=')[0][:20])!r}.",
                remedy="Write them as options=-c%20name%3Dvalue.",
            )
        yield name.lower().replace("-", "_"), value


def _words(options: str) -> list[str]:
    """Words are parted by spaces, unless a backslash precedes one."""
    return re.findall(r"(?:\\.|[^\s\\])+", options, re.DOTALL)


def _milliseconds(name: str, value: str, source: str) -> int:
    found = re.fullmatch(r"\s*(\d{1,10}(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*", value)
    if found is None:
        raise SettingsError(
            f"{source}: {name} is not a time.", remedy="Write milliseconds, or a time such as 30s."
        )
    return round(float(found[1]) * _UNITS[found[2] or "ms"])


def _literal(value: str) -> str:
    """A string literal with nothing that SQL or the driver's parameters read: odd characters by number."""

    def by_number(sign: re.Match[str]) -> str:
        return f"\\U{ord(sign[0]):08x}"

    return f"E'{re.sub(r'[^A-Za-z0-9_.,/ -]', by_number, value)}'"
