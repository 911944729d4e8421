"""Where a service of AWS is reached, as botocore's configuration has it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class ServiceEndpoint:
    """One service in one Region. `proxy` may hold a password: it is never shown."""

    service: str
    region: str
    url: str
    authorities: str
    """File or folder of the certificate authorities that are trusted."""
    proxy: str | None = field(default=None, repr=False)

    @property
    def is_encrypted(self) -> bool:
        return self.url.startswith("https:")

    @property
    def place(self) -> tuple[str, int]:
        """Its host and port. The host is "" in a URL without one."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if self.is_encrypted else 80)

    @property
    def is_fips(self) -> bool:
        """True if its name is that of one of AWS's FIPS endpoints ("AWS FIPS endpoints by service")."""
        labels = self.place[0].split(".")
        return any(label == "fips" or label.endswith("-fips") for label in labels[:-2])


def tls_context(url: str, authorities: str) -> ssl.SSLContext | None:
    """Return what verifies an endpoint as botocore does, None without TLS. Reads files. Raises OSError."""
    if not url.startswith("https:"):
        return None
    if Path(authorities).is_dir():
        return ssl.create_default_context(capath=authorities)
    return ssl.create_default_context(cafile=authorities)
