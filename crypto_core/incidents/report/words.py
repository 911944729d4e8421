"""Findings of steps as a report writes them."""

from __future__ import annotations

_FOUND = {
    "job": "job that re-encrypts",
    "encrypt_job": "job that encrypts in place",
    "left_out": "principals left out of the new key",
    "platform_principals": "principals of the platform, as named for the new key",
    "readers": "principals that read until the tokens are moved",
    "tokens": "tokens asked about",
    "dead": "tokens that are dead",
    "alive": "tokens that are alive",
    "unknown_liveness": "tokens of which it is not known",
    "replaced": "rows that hold a new token",
    "opened": "tokens that opened",
    "not_opened": "tokens that did not open",
    "unsealed": "values that are not sealed",
    "restored": "restored database",
}
"""What steps find out, by the names that an incident remembers it by."""


def found_out(name: str) -> str:
    """Return in words what a step has found out; a name that is no known one without its underscores."""
    return _FOUND.get(name, name.replace("_", " "))
