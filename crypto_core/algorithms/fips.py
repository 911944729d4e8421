"""KEYDECK_FIPS=require: nothing starts unless approved algorithms alone can be computed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from crypto_core.algorithms.openssl_modules import LIBRARY, PROVIDER, PYTHON, OpensslModule, openssl_modules
from crypto_core.errors import SettingsError

VARIABLE = "KEYDECK_FIPS"
REQUIRE = "require"
NEEDED = (PYTHON, LIBRARY)
"""Those that tokens, keys and calls of AWS depend on."""

REMEDY = (
    "Name the FIPS provider in OPENSSL_CONF, with default_properties = fips=yes, and install cryptography "
    "built against the OpenSSL that Python uses: pip install --no-binary cryptography cryptography."
)


def lacking_fips(modules: Sequence[OpensslModule]) -> tuple[str, ...]:
    """Return a part of a sentence for each needed OpenSSL that isn't known to be in FIPS mode."""
    needed = [one for one in modules if one.what in NEEDED]
    return tuple(f"{one.what} ({one.version}): {one.why}" for one in needed if not one.fips)


def require_fips() -> None:
    """Pass if Python's OpenSSL and that of the cryptography package are in FIPS mode.

    Raises SettingsError, which says which one isn't, and how that is known.
    """
    if missing := lacking_fips(openssl_modules()):
        raise SettingsError(
            f"{VARIABLE} is {REQUIRE}, and {PROVIDER} is not active in {'; '.join(missing)}.",
            remedy=f"{REMEDY} keydeck doctor shows each.",
        )


def require_fips_where_set(environment: Mapping[str, str] = os.environ) -> None:
    """Do so if an environment asks for it. Raises SettingsError, also for another value than `require`."""
    value = environment.get(VARIABLE, "")
    if value and value != REQUIRE:
        raise SettingsError(f"{VARIABLE} is not {REQUIRE}.", remedy=f"Set it to {REQUIRE}, or remove it.")
    if value:
        require_fips()
