"""Scopes as a job keeps them: which tokens, told in JSON, for processes that join later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crypto_core.database.tokens.store import TokenScope
from crypto_core.envelope import Format


def scope_as_json(scope: TokenScope) -> dict[str, Any]:
    """Return a scope without its references, which a job's chunks list."""
    prefixes = scope.edk_prefixes
    return {
        "formats": sorted(f.value for f in scope.formats),
        "key_arns": sorted(scope.key_arns),
        "edk_prefixes": None if prefixes is None else [p if p is None else p.hex() for p in prefixes],
        "unasked": scope.unasked,
    }


def scope_from_json(told: Mapping[str, Any]) -> TokenScope:
    """Return the scope that `scope_as_json` has told."""
    prefixes = told["edk_prefixes"]
    return TokenScope(
        formats=frozenset(map(Format, told["formats"])),
        key_arns=frozenset(told["key_arns"]),
        edk_prefixes=None
        if prefixes is None
        else tuple(p if p is None else bytes.fromhex(p) for p in prefixes),
        unasked=bool(told["unasked"]),
    )
