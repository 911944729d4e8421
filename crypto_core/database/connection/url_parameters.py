"""Each parameter of a database URL, and PostgreSQL's settings that a URL asks for.

A parameter is libpq's own, one that means the same, or one that is left out. libpq: PostgreSQL documentation,
section 32.1.2. asyncpg: its `connect`. Prisma: "PostgreSQL connection URL". node-postgres:
pg-connection-string. JDBC: pgJDBC's "Initializing the Driver".

Settings are made in each transaction and never sent at start-up: a pooler refuses options at start-up
(PgBouncer, RDS Proxy), or gives the next transaction another session. PostgreSQL documentation, section
20.1.3 (options) and "System Administration Functions" (set_config).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
"""libpq's, weakest first."""

_ANY = r"(?s).+"
_SWITCH = "(?i)true|false|1|0|on|off|yes|no"
_SECONDS = r"\d{1,9}(?:\.\d+)?"

ON = frozenset({"true", "1", "on", "yes"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """Becomes libpq's `keyword` or PostgreSQL's `setting`, or is left out for a reason."""

    keyword: str = ""
    setting: str = ""
    left_out: str = ""
    pattern: str = _ANY
    """Of its value, which is never repeated."""
    takes: str = ""
    """The same in words."""
    means: Mapping[str, str] | None = None
    """Its values in libpq's terms; "" demands nothing."""
    own_authorities: frozenset[str] = frozenset()
    """Values with which the driver trusts the system's authorities."""


def _one_of(*values: str) -> tuple[str, str]:
    return "|".join(values), f"one of {', '.join(values)}"


_LIBPQ: Mapping[str, tuple[str, str]] = {
    "hostaddr": (_ANY, "an IP address"),
    "passfile": (_ANY, "a file"),
    "sslpassword": (_ANY, "a password"),
    "sslcert": (_ANY, "a file"),
    "sslkey": (_ANY, "a file"),
    "sslrootcert": (_ANY, "a file, or system"),
    "sslcrl": (_ANY, "a file"),
    "sslcrldir": (_ANY, "a folder"),
    "sslsni": _one_of("0", "1"),
    "sslcompression": _one_of("0", "1"),
    "sslcertmode": _one_of("disable", "allow", "require"),
    "sslnegotiation": _one_of("postgres", "direct"),
    "ssl_min_protocol_version": _one_of("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "ssl_max_protocol_version": _one_of("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "channel_binding": _one_of("require", "prefer", "disable"),
    "require_auth": (r"[a-z0-9!,_-]+", "methods such as scram-sha-256"),
    "requirepeer": (_ANY, "a user"),
    "krbsrvname": (_ANY, "a service"),
    "gsslib": _one_of("gssapi"),
    "gssencmode": _one_of("disable", "prefer", "require"),
    "gssdelegation": _one_of("0", "1"),
    "target_session_attrs": _one_of("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "load_balance_hosts": _one_of("disable", "random"),
    "service": (_ANY, "a service of pg_service.conf"),
}

_NO_PREPARED = "Keydeck prepares no statements"
_OWN_POOL = "Keydeck has a pool of its own"
_OWN_LIMITS = "Keydeck has time limits of its own"
_OWN_NETWORK = "Keydeck notices a dead network by settings of its own"
_OWN_NAME = "its sessions are named keydeck"
_UTF8 = "Keydeck always speaks UTF-8"
_DRIVER = "it concerns another driver"

_LEFT_OUT: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("pgbouncer", "statement_cache_size", "prepared_statement_cache_size"),
            *("prepared_statement_name_func", "prepare_threshold", "prepareThreshold"),
            *("preparedStatementCacheQueries", "preparedStatementCacheSizeMiB", "preferQueryMode"),
            *("max_cached_statement_lifetime", "max_cacheable_statement_size", "prepared_statements"),
            *("default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity"),
        ),
        _NO_PREPARED,
    ),
    **dict.fromkeys(
        (
            *("connection_limit", "pool_timeout", "pool_size", "max_overflow", "pool_recycle"),
            *("max_connection_lifetime", "max_idle_connection_lifetime", "single_use_connections"),
            *("pool_max_conns", "pool_min_conns", "pool_mode", "conn_max_age", "min_size", "max_size"),
            *("pool", "checkout_timeout", "reaping_frequency", "idle_timeout", "pool_max_conn_lifetime"),
            *("pool_max_conn_lifetime_jitter", "pool_max_conn_idle_time", "pool_health_check_period"),
        ),
        _OWN_POOL,
    ),
    **dict.fromkeys(("command_timeout", "query_timeout", "socket_timeout", "socketTimeout"), _OWN_LIMITS),
    **dict.fromkeys(
        (
            *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
            *("tcp_user_timeout", "tcp_keepalive", "tcpKeepAlive"),
        ),
        _OWN_NETWORK,
    ),
    **dict.fromkeys(("application_name", "ApplicationName", "fallback_application_name"), _OWN_NAME),
    **dict.fromkeys(("client_encoding", "clientEncoding", "charset"), _UTF8),
    **dict.fromkeys(("uselibpqcompat", "async_fallback", "supa", "workaround", "autosave"), _DRIVER),
}

_SYSTEM = frozenset({"true", "1", "on", "yes", "strict"})
_SSL = {
    **{mode: mode for mode in SSL_MODES},
    **dict.fromkeys(("true", "1", "on", "yes"), "verify-full"),
    **dict.fromkeys(("false", "0", "off", "no"), "disable"),
    "no-verify": "require",
}

PARAMETERS: Mapping[str, Parameter] = {
    **{name: Parameter(keyword=name, pattern=p, takes=takes) for name, (p, takes) in _LIBPQ.items()},
    **{name: Parameter(left_out=reason) for name, reason in _LEFT_OUT.items()},
    # no-verify is node-postgres's.
    "sslmode": Parameter("sslmode", means={**{mode: mode for mode in SSL_MODES}, "no-verify": "require"}),
    "ssl": Parameter("sslmode", means=_SSL, own_authorities=_SYSTEM),
    "sslaccept": Parameter(
        "sslmode", means={"strict": "verify-full", "accept_invalid_certs": ""}, own_authorities=_SYSTEM
    ),
    "connect_timeout": Parameter("connect_timeout", pattern=_SECONDS, takes="seconds"),
    "timeout": Parameter("connect_timeout", pattern=_SECONDS, takes="seconds"),
    "connectTimeout": Parameter("connect_timeout", pattern=_SECONDS, takes="seconds"),
    "loginTimeout": Parameter("connect_timeout", pattern=_SECONDS, takes="seconds"),
    "search_path": Parameter(setting="search_path"),
    "currentSchema": Parameter(setting="search_path"),
    "statement_timeout": Parameter(setting="statement_timeout"),
    "lock_timeout": Parameter(setting="lock_timeout"),
    "idle_in_transaction_session_timeout": Parameter(setting="idle_in_transaction_session_timeout"),
    "timezone": Parameter(setting="timezone"),
    "readOnly": Parameter(setting="default_transaction_read_only", pattern=_SWITCH, takes="true or false"),
    "default_transaction_read_only": Parameter(
        setting="default_transaction_read_only", pattern=_SWITCH, takes="true or false"
    ),
    "default_transaction_isolation": Parameter(setting="default_transaction_isolation"),
}
"""All but those for place and role (user, password, host, port, dbname), schema, options and iam."""

PRISMA = frozenset(
    {"sslaccept", "sslidentity", "connection_limit", "pool_timeout", "pgbouncer", "socket_timeout"}
)
"""Where one of these is, `sslcert` is Prisma's: the authority that signed the server's."""


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
