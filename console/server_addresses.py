"""Under which addresses browsers may reach the server; whatever claims another one is turned away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from crypto_core.providers.endpoints import is_loopback
from crypto_core.values.errors import SettingsError

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Addresses:
    """`url` is what the operator opens, `hosts` and `origins` are the headers that its browser sends."""

    url: str
    port: int
    hosts: frozenset[str]
    origins: frozenset[str]

    def admit(self, hosts: Sequence[str], target: str, reached: str = "") -> bool:
        """Whether a request with these Host headers, for this target, is meant for this server.

        `reached` is the address at which it came in. A page of another site whose name was made to resolve
        to this machine still sends its own name. A target that names a host would take precedence over the
        header (RFC 9112, section 3.2.2).
        """
        if len(hosts) != 1 or not target.startswith("/"):
            return False
        return hosts[0].lower() in self.hosts or hosts[0] == f"{bracketed(reached)}:{self.port}"

    @property
    def secure(self) -> bool:
        return self.url.startswith("https:")


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def is_every_interface(host: str) -> bool:
    """Whether listening on this host is listening on all of the machine's addresses, and names none."""
    try:
        return ip_address(host or "0.0.0.0").is_unspecified  # noqa: S104  # asked about, not bound
    except ValueError:
        return False


def addresses(host: str, port: int, public_url: str | None = None) -> Addresses:
    """Return the addresses of a server that listens there. Raises SettingsError for a malformed URL.

    `public_url` is what browsers see of a proxy in front of it: scheme, name and port, no path.
    """
    name = bracketed(host.lower())
    names = [name, *_LOOPBACK] if is_loopback(host) else [name]
    hosts = {spelled for one in names for spelled in _spelled("http", one, port)}
    origins = {f"http://{spelled}" for spelled in hosts}
    url = f"http://{name}:{port}"
    if public_url is not None:
        scheme, name, port = _public(public_url)
        spelled = _spelled(scheme, name, port)
        hosts |= spelled
        origins |= {f"{scheme}://{one}" for one in spelled}
        url = f"{scheme}://{min(spelled, key=len)}"
    return Addresses(url, port, frozenset(hosts), frozenset(origins))


def hosts_of(host: str, port: int, names: Sequence[str]) -> Addresses:
    """Return a server's addresses: loopback, its own, and names (port allowed). Raises SettingsError."""
    own = addresses(host, port)
    found = set(own.hosts).union(*(_spelled("http", one, port) for one in _LOOPBACK))
    for given in names:
        try:
            _, name, named_port = _public(f"http://{given}")
        except SettingsError:
            raise SettingsError(
                "--name can't be read.",
                remedy="It takes a name, and a port if that is another one: metrics.example:8080.",
            ) from None
        has_port = given.rpartition(":")[2].isdigit() and not given.endswith("]")
        found |= _spelled("http", name, named_port if has_port else port)
    return replace(own, hosts=frozenset(found))


def _spelled(scheme: str, name: str, port: int) -> set[str]:
    """The ways a browser may write it: it leaves out the scheme's own port."""
    return {f"{name}:{port}"} | ({name} if port == _DEFAULT_PORTS[scheme] else set())


def _public(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise _malformed() from None
    if not parts.hostname or parts.username is not None or parts.path not in ("", "/"):
        raise _malformed()
    if parts.query or parts.fragment or not parts.hostname.isascii() or any(c in url for c in " ;,'\"\\"):
        raise _malformed()
    return parts.scheme, bracketed(parts.hostname), port


def _malformed() -> SettingsError:
    return SettingsError(
        "--public-url can't be read.",
        remedy="It takes scheme, name and port, without a path: https://keydeck.example.",
    )
