"""Causes of failed connections, each with a remedy.

libpq gives no SQLSTATE for a failed login, so its text is read. Sources: the messages of libpq, the server
and PgBouncer; RDS Proxy's and Supavisor's documentation on troubleshooting.

Of a certificate that can't be verified libpq says only that, so Python's TLS asks OpenSSL for its reason.
PostgreSQL documentation, section 54.2.10, "SSL Session Encryption".
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from crypto_core.values.clean_text import clean
from crypto_core.values.errors import DatabaseLoginError, DatabaseUnreachableError

SAID_LIMIT = 400
_URL = "the database URL"


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause, recognised by its text. Waiting mends none that `lasts`; `sqlstate` is the server's code."""

    says: str
    remedy: str
    pattern: str
    lasts: bool = True
    sqlstate: str = ""


_passing = partial(Cause, lasts=False)

STATEMENT_POOLING = Cause(
    "The pooler works in statement pooling, which allows no transactions",
    "Give Keydeck a pool with pool_mode = transaction or session, or the server itself: every change needs a "
    "transaction.",
    r"statement pooling",
    sqlstate="08P01",
)
_POOL = "Wait, or let the pooler have more connections (PgBouncer: max_client_conn, default_pool_size)."
_CA = "Write sslrootcert=FILE with the authority that signed it (sslrootcert=system: the system's own)."

CAUSES: tuple[Cause, ...] = (
    STATEMENT_POOLING,
    Cause(
        "RDS did not take the IAM token",
        "Allow rds-db:connect for this identity on the database user, grant rds_iam to the role, and use the "
        "endpoint's own host name.",
        r"PAM authentication failed|IAM authentication failed",
        sqlstate="28000",
    ),
    Cause(
        "The pooler does not know this role or database",
        "Check the user: Supavisor's is ROLE.PROJECT; RDS Proxy needs the role's secret.",
        r"[Tt]enant or user not found|no credentials for the role|no such user",
        sqlstate="28000",
    ),
    Cause(
        "The password is wrong, or there is no such role",
        "Check user and password in the database URL; percent-encode signs such as @ and /.",
        r"password authentication failed|SASL authentication failed|[Aa]uthentication failed|auth failed",
        sqlstate="28P01",
    ),
    Cause(
        "A password is asked for, and there is none",
        "Write it into the database URL, or into the file ~/.pgpass.",
        r"no password supplied|empty password",
        sqlstate="28P01",
    ),
    Cause(
        "There is no such role",
        "Check the user in the database URL, or have a DBA run CREATE ROLE … LOGIN.",
        r"role \".*\" does not exist|is not permitted to log in",
        sqlstate="28000",
    ),
    Cause(
        "There is no such database",
        "Check the database's name in the URL; behind a pooler also its list of databases.",
        r"database \".*\" does not exist|no such database|database \".*\" is disabled",
        sqlstate="3D000",
    ),
    Cause(
        "The server lets nobody in without encryption",
        "Add sslmode=verify-full (at least sslmode=require) to the database URL.",
        r"no pg_hba\.conf entry.*no encryption|requires? TLS|only with SSL|SSL required",
        sqlstate="28000",
    ),
    Cause(
        "The server's pg_hba.conf lets this role not in from this address",
        "Have a DBA add a line for it: host DATABASE ROLE ADDRESS scram-sha-256.",
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        sqlstate="28000",
    ),
    Cause(
        "The role may not connect to this database",
        "Have a DBA run: GRANT CONNECT ON DATABASE … TO the role.",
        r"permission denied for database",
        sqlstate="42501",
    ),
    Cause(
        "The server or pooler offers no encryption",
        "Turn on ssl there (PgBouncer: client_tls_sslmode), or, only on this machine, write sslmode=disable.",
        r"does not support SSL",
    ),
    Cause(
        "The file of certificate authorities isn't there",
        f"{_CA} RDS has a bundle of its own: global-bundle.pem.",
        r"root certificate file .* does not exist|could not read root certificate file",
    ),
    Cause(
        "The server's certificate has expired",
        "Have it renewed; until then nobody can tell the server from another.",
        r"certificate (has )?expired|certificate is not yet valid",
    ),
    Cause(
        "The server's certificate is for another host",
        "Use the host name that is in the certificate, or have a certificate made for this one.",
        r"server certificate for .* does not match host name|does not match host name",
    ),
    Cause(
        "The server's certificate is not signed by a trusted authority",
        _CA,
        r"certificate verify failed|self-signed certificate|unable to get local issuer",
    ),
    Cause(
        "The server does not take this client's certificate",
        "Check sslcert and sslkey in the database URL: the key must be readable for its owner alone.",
        r"certificate required|private key file|certificate authentication failed|alert (bad|unknown)",
    ),
    Cause(
        "Channel binding is required, and the server or a pooler between can't do it",
        "Write channel_binding=prefer, or connect to the server itself.",
        r"[Cc]hannel binding",
    ),
    Cause(
        "The pooler does not take a start-up parameter",
        "Unset PGGEQO, PGOPTIONS and service files; or: ignore_startup_parameters in PgBouncer's settings.",
        r"unsupported startup parameter|support command-line options",
    ),
    _passing(
        "The host name is not known",
        "Check the host in the database URL, and this machine's DNS and VPN.",
        r"could not translate host name|Name or service not known|nodename nor servname",
    ),
    _passing(
        "Nothing listens there",
        "Check host and port in the database URL, and that the server is up.",
        r"Connection refused|No such file or directory",
    ),
    _passing(
        "There was no answer in time",
        "Check host, port, firewall and security groups; a database that must wake up first needs a larger "
        "connect_timeout in its URL.",
        r"timeout expired|timed out|No route to host|Network is unreachable",
    ),
    Cause(
        "What answers there is no PostgreSQL",
        "Check host and port in the database URL, and any proxy between.",
        r"expected authentication request|received invalid response to (SSL|GSSAPI) negotiation",
    ),
    _passing(
        "The pooler is full",
        _POOL,
        r"no more connections allowed|[Mm]ax client connections|max clients reached|query_wait_timeout"
        r"|acquire database connection|EMAXCONN",
        sqlstate="53300",
    ),
    _passing(
        "The pooler can't reach the server behind it",
        "Look at the pooler's log, and that the server is up.",
        r"server login (has )?fail|server_login|\(server down\)|server conn crashed|pgbouncer cannot connect",
        sqlstate="08006",
    ),
    _passing(
        "The server has no more connections for this role",
        "Wait, close others, or have a DBA raise max_connections or the role's CONNECTION LIMIT.",
        r"too many (clients|connections)|remaining connection slots",
        sqlstate="53300",
    ),
    _passing(
        "The server is starting up, shutting down or in recovery",
        "Wait until it is up, or connect to the primary.",
        r"database system is (starting up|not yet accepting|not accepting|in recovery)|shutting down"
        r"|administrator command|pooler is shut",
        sqlstate="57P03",
    ),
    _passing(
        "No host of the URL is of the kind that target_session_attrs asks for",
        "Check target_session_attrs and the hosts: after a failover another is the primary.",
        r"hot standby mode|session is (not )?read-only",
    ),
    Cause(
        "The server does not take a setting of the database URL",
        "Check options, search_path and the other settings in the database URL.",
        r"unrecognized configuration parameter|invalid value for parameter",
    ),
    _passing(
        "The connection was closed",
        "Try again; if it persists, look at the log of the server or pooler: PostgreSQL also ends what idles "
        "longer than idle_in_transaction_session_timeout or idle_session_timeout of the role, PgBouncer "
        "what waits too long for a place in its pool (query_wait_timeout).",
        r"idle-session timeout|closed the connection|connection (already )?closed"
        r"|[Cc]onnection reset|Broken pipe|SSL SYSCALL",
    ),
)
"""The first that fits counts."""
_CODES = ("3D000", "57P03")
"""Each stands for one cause, in whatever language the server speaks."""


def login_failure(lines: Sequence[str], sqlstate: str = "", setting: str = _URL) -> DatabaseUnreachableError:
    """Return the error for libpq's lines: a DatabaseLoginError where waiting doesn't help.

    `setting` is the one with the URL.
    """
    said = clean(" ".join("; ".join(lines).split()), SAID_LIMIT).rstrip(".")
    told = "57P03" if sqlstate in ("57P01", "57P02") else sqlstate
    by_code = (cause for cause in CAUSES if cause.sqlstate == told and told in _CODES)
    if cause := next((one for one in CAUSES if re.search(one.pattern, said)), next(by_code, None)):
        return failure_of(cause, said, sqlstate, setting)
    return DatabaseUnreachableError(f"No connection to the database: {said}.", sqlstate=sqlstate)


def failure_of(cause: Cause, said: str, sqlstate: str = "", setting: str = _URL) -> DatabaseUnreachableError:
    """`said` is clean."""
    kind = DatabaseLoginError if cause.lasts else DatabaseUnreachableError
    told = f" ({said})" if said else ""
    return kind(
        f"No connection to the database: {cause.says}{told}.",
        remedy=cause.remedy.replace(_URL, setting),
        sqlstate=sqlstate or cause.sqlstate,
    )


_SECONDS = 3.0
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_NOT_VERIFIED = re.compile(
    r'connection to server at "(?P<host>[^"]+)"[^,]*, port (?P<port>\d+) failed:.*certificate verify failed'
)


def verification_failures(lines: Sequence[str], authorities: str | None) -> list[str]:
    """Return OpenSSL's reason for each server whose certificate libpq could not verify.

    `authorities` is the URL's sslrootcert. Raises nothing.
    """
    servers = [found for line in lines if (found := _NOT_VERIFIED.search(line))]
    with suppress(OSError, ValueError, RuntimeError):  # no such file, or no home
        context = _context(authorities)
        reasons = (_reason(context, found["host"], int(found["port"])) for found in servers)
        return [reason for reason in reasons if reason]
    return []


def _context(authorities: str | None) -> ssl.SSLContext:
    own = str(Path.home() / ".postgresql" / "root.crt") if authorities is None else authorities
    context = ssl.create_default_context(cafile=None if own == "system" else own)
    # libpq looks at the host's name itself, and at no form of certificates beyond OpenSSL's own.
    context.check_hostname = False
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _reason(context: ssl.SSLContext, host: str, port: int) -> str:
    with suppress(OSError), socket.create_connection((host, port), _SECONDS) as plain:
        plain.sendall(_SSL_REQUEST)
        if plain.recv(1) == b"S":
            try:
                context.wrap_socket(plain, server_hostname=host).close()
            except ssl.SSLCertVerificationError as error:
                return clean(error.verify_message, 200)
    return ""
