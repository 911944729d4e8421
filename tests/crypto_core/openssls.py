"""The OpenSSLs of a process in FIPS mode."""

from __future__ import annotations

from crypto_core.aws.fips import LIBRARY, PYTHON, OpensslModule
from crypto_core.values.clean_text import clean

MODULES = tuple(
    OpensslModule(clean(name), clean("TLS"), clean("OpenSSL 3.5"), fips=True, why=clean("it is in FIPS mode"))
    for name in (PYTHON, LIBRARY)
)
