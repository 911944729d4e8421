"""The outsider's verifier as a file: what it is named, its bytes, and their SHA-256.

It is a module of this room that imports nothing of Keydeck: `outsider`.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

VERIFIER = "verifier.py"


def verifier_source() -> bytes:
    """Return the file, as `keydeck evidence verifier` writes it and as each pack holds it."""
    return files("crypto_core.compliance.pack").joinpath("outsider.py").read_bytes()


def verifier_digest() -> str:
    """Return its SHA-256 in hex."""
    return hashlib.sha256(verifier_source()).hexdigest()
