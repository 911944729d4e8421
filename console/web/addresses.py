"""Under which addresses browsers may reach the server; whatever claims another one is turned away."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from crypto_core.errors import SettingsError

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Addresses:
    """`url` is what the operator opens, `hosts` and `origins` are the headers that its browser sends."""

    url: str
    port: int
    hosts: frozenset[str]
    origins: frozenset[str]

    @property
    def secure(self) -> bool:
        """Whether the browser's connection is encrypted."""
        return self.url.startswith("https:")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on this host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


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
    name = f"[{host}]" if ":" in host else host.lower()
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
    return parts.scheme, f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname, port


def _malformed() -> SettingsError:
    return SettingsError(
        "--public-url can't be read.",
        remedy="It takes scheme, name and port, without a path: https://keydeck.example.",
    )
