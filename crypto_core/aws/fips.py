"""The OpenSSLs of this process, and KEYDECK_FIPS=require: nothing starts unless they compute in FIPS mode.

There is more than one OpenSSL in this process: Python's ssl and hashlib have one, the cryptography package
brings another in its wheel, and so does psycopg2-binary. In FIPS mode OpenSSL computes with its FIPS provider
alone (fips_module(7)).
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from crypto_core.values.clean_text import CleanText, clean, cleans
from crypto_core.values.errors import SettingsError

VARIABLE = "KEYDECK_FIPS"
REQUIRE = "require"
PYTHON, LIBRARY, DATABASE = "Python's ssl and hashlib", "the cryptography package", "psycopg2"
PROVIDER = "OpenSSL's FIPS provider"
NEEDED = (PYTHON, LIBRARY)
"""Those that tokens, keys and calls of AWS depend on."""

REMEDY = (
    "Name the FIPS provider in OPENSSL_CONF, with default_properties = fips=yes, and install cryptography "
    "built against the OpenSSL that Python uses: pip install --no-binary cryptography cryptography."
)


@dataclass(frozen=True, slots=True)
@cleans(300)
class OpensslModule:
    """One OpenSSL. `fips` is whether it computes with its FIPS provider; None where it can't be asked.

    `what` is who uses it, `computes` for what, `version` its own name, `why` how `fips` is known.
    """

    what: CleanText
    computes: CleanText
    version: CleanText
    fips: bool | None
    why: CleanText
    broken: bool = False
    """Whether it is set to FIPS mode, and isn't in it: with no provider nothing works that it computes."""


def openssl_modules() -> tuple[OpensslModule, ...]:
    """Return the OpenSSLs of this process. Computes next to nothing; raises nothing."""
    return (_of_python(), _of_library(), _of_database())


def _of_python() -> OpensslModule:
    mode = _python_mode()
    fips, why = _judged(mode, _python_works, _python_refuses)
    return OpensslModule(
        *(clean(PYTHON), clean("TLS to AWS and providers, hashes, HMACs")),
        clean(ssl.OPENSSL_VERSION),
        fips,
        clean(why),
        broken=bool(mode) and not fips,
    )


def _of_library() -> OpensslModule:
    what, computes = clean(LIBRARY), clean("AES-256-GCM, HKDF, Fernet, certificates")
    try:
        from cryptography.hazmat.bindings._rust import openssl
    except (ImportError, RuntimeError) as error:
        why = f"it can't be loaded: {clean(error, 200)}"
        return OpensslModule(what, computes, clean("not loaded"), None, clean(why))
    mode = _library_mode(openssl)
    fips, why = _judged(mode, _library_works, _library_refuses)
    version = clean(openssl.openssl_version_text())
    return OpensslModule(what, computes, version, fips, clean(why), broken=bool(mode) and not fips)


def _of_database() -> OpensslModule:
    own = next(_bundled_with_psycopg2(), "")
    version, why = "of the system, by libpq", "libpq can't be asked for it"
    if own:
        version, why = f"of its own wheel ({own})", "the OpenSSL in psycopg2-binary's wheel can't be asked"
    return OpensslModule(clean(DATABASE), clean("TLS to PostgreSQL"), clean(version), None, clean(why))


def _bundled_with_psycopg2() -> Iterator[str]:
    try:
        files = metadata.files("psycopg2-binary") or ()
    except metadata.PackageNotFoundError:
        return
    yield from (one.name for one in files if one.name.startswith("libssl"))


def _judged(
    mode: bool | None, works: Callable[[], bool], refuses: Callable[[], bool]
) -> tuple[bool | None, str]:
    """Whether it is in FIPS mode, and how that is known: what it says of itself is tried out."""
    if mode is None:
        return None, "it can't be asked whether it is in FIPS mode"
    if not mode:
        return False, "it computes with its default provider"
    if not works():
        return False, "it is set to FIPS mode, but no provider is loaded: nothing approved can be computed"
    if not refuses():
        return False, "it says that it is in FIPS mode, but computes what is not approved"
    return True, "it is in FIPS mode: approved algorithms work, others are refused"


def _python_mode() -> bool | None:
    try:
        from _hashlib import get_fips_mode
    except ImportError:
        return None  # Python was built without OpenSSL's hashes.
    return bool(get_fips_mode())


def _python_works() -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return bool(hashlib.pbkdf2_hmac("sha256", b"keydeck checks", bytes(16), 1_000))
    except (ValueError, OSError):
        return False


def _python_refuses() -> bool:
    """MD5 by OpenSSL: hashlib.md5 would take Python's own code instead, which is outside of the module."""
    try:
        hashlib.pbkdf2_hmac("md5", b"keydeck checks", bytes(16), 1_000)
    except (ValueError, OSError):
        return True
    return False


def _library_mode(openssl: object) -> bool | None:
    asked = getattr(openssl, "is_fips_enabled", None)
    return None if asked is None else bool(asked())


def _library_works() -> bool:
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return bool(AESGCM(bytes(32)).encrypt(bytes(12), b"", None))
    except (InternalError, UnsupportedAlgorithm, ValueError):
        return False


def _library_refuses() -> bool:
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    try:
        ChaCha20Poly1305(bytes(32)).encrypt(bytes(12), b"", None)
    except (InternalError, UnsupportedAlgorithm, ValueError):
        return True
    return False


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
