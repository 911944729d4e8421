"""Values that must not be shown: a token's plaintext and a plaintext data key.

`Secret` and `DataKey` keep their bytes in a buffer of their own that `wipe()` overwrites. CPython may have
copied the bytes elsewhere before (a `str` can't be wiped at all), so wiping shortens the time a secret lies
in memory; it is no guarantee (OWASP Cryptographic Storage Cheat Sheet, "Memory Management").
"""

from __future__ import annotations

import hmac
from typing import NoReturn, Self

from crypto_core.values.errors import InvalidTokenError


class _Hidden:
    """Bytes that repr, str, format, pickle, copy and json give nothing away of."""

    __slots__ = ("_buffer", "_wiped")

    def __init__(self, content: bytes | bytearray | memoryview) -> None:
        self._buffer = bytearray(content)
        self._wiped = False

    @classmethod
    def adopt(cls, buffer: bytearray) -> Self:
        """Return an object that owns `buffer`, without a copy: wiping it wipes the caller's buffer too."""
        hidden = object.__new__(cls)
        hidden._buffer, hidden._wiped = buffer, False  # its own kind
        return hidden

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"

    __str__ = __repr__

    def __dir__(self) -> list[str]:
        # Tools that show an object's attributes, private ones too, ask here which there are.
        return [name for name in super().__dir__() if name != "_buffer"]

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        """Compare in constant time, only with its own kind; a wiped value equals none."""
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self._buffer, other._buffer) and not (self._wiped or other._wiped)

    __hash__ = None  # type: ignore[assignment]  # a hash would outlive the wiped buffer

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} can't be pickled or copied")

    def __getstate__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} can't be pickled or copied")

    def __len__(self) -> int:
        """Length in bytes."""
        return len(self._buffer)

    def wipe(self) -> None:
        """Overwrite the buffer with zeros; from then on there is nothing to reveal."""
        self._wiped = True
        self._buffer[:] = bytes(len(self._buffer))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def __del__(self) -> None:
        # Whatever was not wiped is wiped with its last reference.
        try:  # noqa: SIM105  # suppress() takes longer than the rest
            self._buffer[:] = bytes(len(self._buffer))
        except AttributeError:  # never filled
            pass


def exposed(hidden: _Hidden) -> memoryview:
    """Return the bytes, read only and without a copy, for this package's own sealing and opening.

    Raises ValueError once they are wiped.
    """
    if hidden._wiped:  # noqa: SLF001  # the one reader of the buffer besides its class
        raise ValueError(f"{type(hidden).__name__} is wiped")
    return memoryview(hidden._buffer).toreadonly()  # noqa: SLF001


def own_buffer(hidden: _Hidden) -> bytearray:
    """Return the buffer itself, for ciphers that read it at once and keep nothing. Raises as `exposed`."""
    if hidden._wiped:  # noqa: SLF001  # as `exposed`
        raise ValueError(f"{type(hidden).__name__} is wiped")
    return hidden._buffer  # noqa: SLF001


class Secret(_Hidden):
    """A token's plaintext. `reveal()` is the only way to the text."""

    __slots__ = ()

    @classmethod
    def of(cls, token: str) -> Secret:
        """Return the secret that holds `token`. Raises InvalidTokenError for what is not text in UTF-8."""
        if not isinstance(token, str):
            raise InvalidTokenError("The token is not text.")
        encoded = _encode(token)
        if encoded is None:
            del token  # a traceback with local variables would show it
            raise InvalidTokenError("The token holds characters that have no UTF-8 form.")
        return cls(encoded)

    def reveal(self) -> str:
        """Return the plaintext. Raises InvalidTokenError if it isn't UTF-8 text."""
        text = _decode(exposed(self))
        if text is None:
            raise InvalidTokenError("The opened token is not UTF-8 text.")
        return text


class DataKey(_Hidden):
    """A plaintext AES-256 data key, 32 bytes."""

    __slots__ = ()


# Codecs' exceptions carry what they could not convert, so they end here instead of becoming the context of
# an error that is shown or logged.


def _encode(text: str) -> bytes | None:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def _decode(content: memoryview) -> str | None:
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError:
        return None
