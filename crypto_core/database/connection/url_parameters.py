"""Each parameter of a database URL: libpq's own, one that means the same, or one that is left out.

libpq: PostgreSQL documentation, section 32.1.2. asyncpg: its `connect`. Prisma: "PostgreSQL connection URL".
node-postgres: pg-connection-string. JDBC: pgJDBC's "Initializing the Driver".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
            *("max_cached_statement_lifetime", "max_cacheable_statement_size"),
        ),
        _NO_PREPARED,
    ),
    **dict.fromkeys(
        (
            *("connection_limit", "pool_timeout", "pool_size", "max_overflow", "pool_recycle"),
            *("max_connection_lifetime", "max_idle_connection_lifetime", "single_use_connections"),
            *("pool_max_conns", "pool_min_conns", "pool_mode", "conn_max_age", "min_size", "max_size"),
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
