"""Database URLs, taken apart once, so that no part of a password is taken for a host.

An app's URL for its own driver will do: parameters are mapped, left out with a note, or refused by name. No
error repeats a value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, unquote

from sqlalchemy.engine import URL

from crypto_core.database.connection.url_parameters import (
    ON,
    PARAMETERS,
    PRISMA,
    SSL_MODES,
    Parameter,
    ServerSettings,
    server_settings,
)
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError

URL_FORM = "Write it as postgresql://user:password@host:5432/database."

DRIVERS = (
    *("", "asyncpg", "psycopg", "psycopg2", "psycopg_async", "psycopg2cffi", "pg8000"),
    *("aiopg", "pygresql", "asyncpgsa", "postgres"),
)

_SCHEMES = ("postgresql", "postgres", "postgis", "pgsql")
_PLACE = {"user": "user", "username": "user", "password": "password", "host": "host", "port": "port"}
_PLACE |= {"dbname": "database", "database": "database"}
_URL = re.compile(
    r"(?P<scheme>\w+)(?:\+(?P<driver>\w*))?://(?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?"
    r"(?P<hosts>(?:\[[^\]/?]*\]|[^/?\[\]])*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_AROUND = " \t\r\n\ufeff"
_HOST = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>\d{0,5}))?")


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """`keywords` are libpq's further ones."""

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    """One for each host, or one for all."""
    database: str | None = None
    keywords: Mapping[str, str] = field(default_factory=dict, repr=False)
    server: ServerSettings = field(default_factory=ServerSettings)
    iam: bool = False
    """Whether each connection logs in with a fresh token of RDS."""
    notes: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        return clean(", ".join(self.hosts), 300)

    @property
    def has_password(self) -> bool:
        """Of the role or of a client's key."""
        return self.password is not None or any("pass" in name for name in self.keywords)

    @property
    def base(self) -> URL:
        """For SQLAlchemy, without further parameters."""
        one = len(self.hosts) == 1 and not self.hosts[0].startswith("/")
        return URL.create(
            "postgresql+psycopg2",
            self.user,
            self.password,
            self.hosts[0] if one else None,
            int(self.ports[0]) if one and self.ports and self.ports[0] else None,
            self.database,
        )

    @property
    def place(self) -> dict[str, str]:
        """libpq's keywords for the place, and its further ones."""
        place = {"host": ",".join(self.hosts), "port": ",".join(self.ports)}
        return {name: value for name, value in place.items() if value.strip(",")} | dict(self.keywords)

    def shown(self) -> str:
        """Return it without passwords."""
        query = {name: "***" if "pass" in name else value for name, value in self.keywords.items()}
        if self.base.host is None:
            query |= {name: value for name, value in self.place.items() if name in ("host", "port")}
        query |= {name: str(limit) for name, limit in self.server.limits.items()} | dict(self.server.values)
        query |= {"options": self.server.route} if self.server.route else {}
        query |= {"default_transaction_read_only": "on"} if self.server.read_only else {}
        query |= {"iam": "true"} if self.iam else {}
        url = self.base.set(drivername="postgresql", query=query)
        return clean(url.render_as_string(hide_password=True), 1_000)


def parse_database_url(url: str, setting: str = "DATABASE_URL") -> DatabaseUrl:
    """Return a PostgreSQL URL's parts. Raises SettingsError, which repeats nothing of it.

    One with a second `@` is refused: the rest of a password would be looked up as the host and named in
    errors.
    """
    if url.count("@") > 1:
        raise SettingsError(
            f"{setting} has more than one @: where its password ends isn't clear.",
            remedy="Percent-encode the password: @ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as %25.",
        )
    bare = url.strip(_AROUND)
    if bare[:1] in ("'", '"') and bare.endswith(bare[:1]):
        bare = bare[1:-1].strip(_AROUND)
    found = _URL.fullmatch(bare)
    if found is None:
        raise SettingsError(f"{setting} is not a database URL.", remedy=URL_FORM)
    if found["scheme"] not in _SCHEMES:
        raise SettingsError(f"{setting} is not a PostgreSQL URL.", remedy=URL_FORM)
    if (found["driver"] or "") not in DRIVERS:
        raise SettingsError(f"{setting} names a driver that Keydeck does not know.", remedy=URL_FORM)
    read = _UrlReading(setting).read(found)
    around = () if bare == url else ("what stands around it (white space, quotes, a byte order mark)",)
    return replace(read, notes=(*around, *read.notes))


class _UrlReading:
    def __init__(self, setting: str) -> None:
        self._setting = setting
        self._place: dict[str, list[str]] = {}
        self._keywords: dict[str, str] = {}
        self._settings: list[tuple[str, str]] = []
        self._options: list[str] = []
        self._notes: list[str] = []
        self._iam = False

    def read(self, found: re.Match[str]) -> DatabaseUrl:
        given = parse_qsl(found["query"] or "", keep_blank_values=True)
        names = {name for name, _ in given}
        for name, value in given:
            self._take(name, value, names)
        for name in ("user", "password", "database"):
            if found[name]:
                self._place[name] = [unquote(found[name])]
        hosts, ports = self._hosts(found["hosts"])
        source = self._setting
        if not self._options and os.environ.get("PGOPTIONS"):
            self._options, source = [os.environ["PGOPTIONS"]], "PGOPTIONS"
        server = server_settings(self._settings, self._options, source)
        last = {name: values[-1] for name, values in self._place.items()}
        parsed = DatabaseUrl(
            user=last.get("user"),
            password=last.get("password"),
            hosts=hosts,
            ports=ports,
            database=last.get("database"),
            keywords=self._keywords,
            server=server,
            iam=self._iam,
            notes=(*self._notes, *server.notes),
        )
        return self._by_iam(parsed) if self._iam else parsed

    def _take(self, name: str, value: str, names: set[str]) -> None:
        if name in _PLACE:
            self._place.setdefault(_PLACE[name], []).append(value)
        elif name == "options":
            self._options.append(value)
        elif name == "schema":
            self._settings.append(("search_path", _identifier(value)))
        elif name == "iam":
            self._iam = self._is_on(name, value)
        elif name in PARAMETERS:
            prisma = name == "sslcert" and "sslkey" not in names and not names.isdisjoint(PRISMA)
            self._map(name, PARAMETERS["sslrootcert" if prisma else name], value)
        else:
            raise SettingsError(
                f"{self._setting} has a parameter that Keydeck does not know: {clean(name, 60)!r}.",
                remedy="Remove it, or give Keydeck its own URL. keydeck help database has the known ones.",
            )

    def _map(self, name: str, parameter: Parameter, value: str) -> None:
        if parameter.left_out:
            self._notes.append(f"{name} ({parameter.left_out})")
            return
        if parameter.means is not None:
            self._demand(name, parameter, value.lower())
            return
        if re.fullmatch(parameter.pattern, value) is None:
            raise self._malformed(name, parameter.takes or "a text")
        if parameter.setting:
            self._settings.append((parameter.setting, value))
        else:
            self._keywords[parameter.keyword] = value

    def _demand(self, name: str, parameter: Parameter, value: str) -> None:
        """Of several demands for encryption the strictest counts."""
        means = parameter.means or {}
        if value not in means:
            raise self._malformed(name, f"one of {', '.join(means)}")
        demanded = (self._keywords.get(parameter.keyword, ""), means[value])
        strictest = max(demanded, key=lambda mode: SSL_MODES.index(mode) if mode else -1)
        if strictest:
            self._keywords[parameter.keyword] = strictest
        if value in parameter.own_authorities:
            self._keywords.setdefault("sslrootcert", "system")

    def _malformed(self, name: str, takes: str) -> SettingsError:
        return SettingsError(f"{self._setting}: {clean(name, 60)} has another value than {takes}.")

    def _is_on(self, name: str, value: str) -> bool:
        if value.lower() not in (*ON, "false", "0", "off", "no"):
            raise self._malformed(name, "true or false")
        return value.lower() in ON

    def _hosts(self, text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Hosts and their ports; the parameters `host` and `port` come first."""
        hosts = list(self._split(text.split(","))) if text else []
        ports = [port for _, port in hosts]
        if "host" in self._place:
            hosts = list(self._split(self._listed("host")))
            ports = [port for _, port in hosts] if any(port for _, port in hosts) else ports
        if "port" in self._place:
            ports = self._listed("port")
        if any(
            re.fullmatch(r"\d{0,5}", port) is None or int(port or 1) not in range(1, 65_536) for port in ports
        ):
            raise SettingsError(f"{self._setting} has a port that is none.", remedy=URL_FORM)
        if len(ports) not in (0, 1, len(hosts)) and hosts:
            raise SettingsError(f"{self._setting} has {len(hosts)} hosts and {len(ports)} ports.")
        return tuple(host for host, _ in hosts), tuple(ports) if any(ports) else ()

    def _listed(self, name: str) -> list[str]:
        return [part for value in self._place[name] for part in value.split(",")]

    def _split(self, hosts: list[str]) -> Iterator[tuple[str, str]]:
        for host in hosts:
            if host.startswith(("/", "@")) or (host.count(":") > 1 and "[" not in host):
                yield host, ""  # a socket, or an IPv6 address in a parameter
                continue
            found = _HOST.fullmatch(host)
            if found is None:
                raise SettingsError(f"{self._setting} has a host or port that is none.", remedy=URL_FORM)
            yield found["ipv6"] or unquote(found["name"]), found["port"] or ""

    def _by_iam(self, parsed: DatabaseUrl) -> DatabaseUrl:
        """A token opens the database to whoever sees it: so TLS, and one host and role."""
        if len(parsed.hosts) != 1 or parsed.hosts[0].startswith("/") or not parsed.user:
            raise SettingsError(
                f"{self._setting} has iam=true, which needs one host and a user.", remedy=URL_FORM
            )
        keywords = {"sslmode": "verify-full"} | dict(parsed.keywords)
        if SSL_MODES.index(keywords["sslmode"]) < SSL_MODES.index("require"):
            raise SettingsError(
                f"{self._setting} has iam=true, and sslmode lets the connection be unencrypted.",
                remedy="Write sslmode=verify-full (at least sslmode=require): the token would be seen.",
            )
        notes = parsed.notes
        if parsed.password is not None:
            notes = (*notes, "the password (with iam=true each connection has a token)")
        return replace(parsed, password=None, keywords=keywords, notes=notes)


def masked_url(url: str) -> str:
    """Return a database URL as it may be shown: without its password."""
    try:
        return parse_database_url(url).shown()
    except SettingsError:
        return "(not a database URL)"


def left_out(url: str) -> str:
    """Return what of a database URL Keydeck leaves out and why, or why it can't use it; "" for neither."""
    try:
        notes = parse_database_url(url, "It").notes
    except SettingsError as error:
        return error.message
    return f"Left out: {', '.join(notes)}." if notes else ""


def _identifier(name: str) -> str:
    """A schema's name as search_path has it."""
    return '"' + name.replace('"', '""') + '"'
