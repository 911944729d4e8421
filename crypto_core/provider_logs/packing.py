"""Records of audit logs made small, each by itself: Zstandard with a dictionary of what is common."""

from __future__ import annotations

from crypto_core.trail.dictionary_packing import DictionaryPacker

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
_PACKER = DictionaryPacker(_COMMON)


def pack(record: bytes) -> bytes:
    """Return a record packed."""
    return _PACKER.pack(record)


def unpack(packed: bytes) -> bytes:
    """Return what was packed. Raises ValueError for what wasn't."""
    return _PACKER.unpack(packed)
