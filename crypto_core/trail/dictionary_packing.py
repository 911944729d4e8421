"""Small texts packed each by itself: Zstandard with a dictionary of what they have in common.

RFC 8878, "Raw content" of section 5 on dictionaries.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from threading import local
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_OPTIONS: Mapping[int, int] = {
    zstd.CompressionParameter.checksum_flag: 0,
    zstd.CompressionParameter.dict_id_flag: 0,
}


class DictionaryPacker:
    """Packs and unpacks with one dictionary, which is a part of the format. Thread-safe."""

    def __init__(self, common: bytes, *, level: int = 3) -> None:
        self._options = {**_OPTIONS, zstd.CompressionParameter.compression_level: level}
        self._dictionary = zstd.ZstdDict(common, is_raw=True)
        # Zstandard's contexts are not for several threads at once.
        self._of_thread = local()

    def pack(self, text: bytes) -> bytes:
        compressor: Any = getattr(self._of_thread, "compressor", None)
        if compressor is None:
            compressor = zstd.ZstdCompressor(
                options=self._options, zstd_dict=self._dictionary.as_digested_dict
            )
            self._of_thread.compressor = compressor
        packed: bytes = compressor.compress(text, zstd.ZstdCompressor.FLUSH_FRAME)
        return packed

    def unpack(self, packed: bytes) -> bytes:
        """Return what was packed. Raises ValueError for what wasn't."""
        try:
            return zstd.decompress(packed, zstd_dict=self._dictionary.as_digested_dict)
        except (zstd.ZstdError, EOFError) as error:
            raise ValueError("not packed with this dictionary") from error
