"""Records of audit logs made small, each by itself: Zstandard with a dictionary of what is common."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from threading import local

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_COMMON = (
    b'{"id":"","type":"events","attributes":{"time":"2026-","action":"","actor":{"id":"","name":"","email":"",'
    b'"auth":{"authType":"api-token","tokenId":"","tokenLabel":""},"links":{"self":"https://api.atlassian.com'
    b'/admin/"}},"context":[{"id":"","type":"","attributes":{"name":""}}],"container":[{"id":"","type":"sites",'
    b'"attributes":{"siteHostName":".atlassian.net"}}],"location":{"ip":"","geo":"","countryName":""}}}'
    b'{"id":"","date_create":17,"action":"file_downloaded","actor":{"type":"user","user":{"id":"U","name":"",'
    b'"email":"","team":"T"}},"entity":{"type":"channel","channel":{"id":"C","name":"","privacy":"public"}},'
    b'"context":{"location":{"type":"workspace","id":"T","name":"","domain":""},"ua":"Mozilla/5.0",'
    b'"session_id":,"ip_address":"","app":{"id":"A","name":""}}}'
    b'{"@timestamp":17,"_document_id":"","action":"git.clone","actor":"","actor_id":,"actor_ip":"",'
    b'"actor_location":{"country_code":""},"business":"","created_at":17,"external_identity_nameid":"",'
    b'"hashed_token":"","operation_type":"access","org":"","org_id":,"programmatic_access_type":"OAuth'
    b' access token","request_id":"","token_id":,"token_scopes":"repo,read:org","public_repo":false,"repo":'
    b'"","repository":"","repository_public":false,"transport_protocol":1,"transport_protocol_name":"http",'
    b'"user":"","user_agent":"git/2."}'
)
_DICTIONARY = zstd.ZstdDict(_COMMON, is_raw=True)
_OPTIONS: Mapping[int, int] = {
    zstd.CompressionParameter.compression_level: 3,
    zstd.CompressionParameter.checksum_flag: 0,
    zstd.CompressionParameter.dict_id_flag: 0,
}


class _Packer(local):
    """One thread's own: Zstandard's contexts are not for several at once."""

    def __init__(self) -> None:
        self._compressor = zstd.ZstdCompressor(options=_OPTIONS, zstd_dict=_DICTIONARY.as_digested_dict)

    def packed(self, text: bytes) -> bytes:
        """Return a frame of its own."""
        return self._compressor.compress(text, zstd.ZstdCompressor.FLUSH_FRAME)


_PACKER = _Packer()


def pack(record: bytes) -> bytes:
    """Return a record packed."""
    return _PACKER.packed(record)


def unpack(packed: bytes) -> bytes:
    """Return what was packed. Raises ValueError for what wasn't."""
    try:
        return zstd.decompress(packed, zstd_dict=_DICTIONARY.as_digested_dict)
    except (zstd.ZstdError, EOFError) as error:
        raise ValueError("not a packed record") from error
