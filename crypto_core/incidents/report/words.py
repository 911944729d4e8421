"""Findings of steps and verdicts as a report writes them."""

from __future__ import annotations

_FOUND = {
    "new_key": "new key",
    "job": "job that re-encrypts",
    "encrypt_job": "job that encrypts in place",
    "left_out": "principals left out of the new key",
    "responder": "the responder",
    "platform_principals": "principals of the platform, as named for the new key",
    "readers": "principals that read until the tokens are moved",
    "replica": "replica",
    "tokens": "tokens asked about",
    "dead": "tokens that are dead",
    "alive": "tokens that are alive",
    "unknown_liveness": "tokens of which it is not known",
    "replaced": "rows that hold a new token",
    "opened": "tokens that opened",
    "not_opened": "tokens that did not open",
    "unsealed": "values that are not sealed",
    "verified_at": "verified at",
    "verified_to_the_end": "verified to the end",
    "restored": "restored database",
}
"""What steps find out, by the names that an incident remembers it by."""


def found_out(name: str) -> str:
    """Return in words what a step has found out; a name that is no known one without its underscores."""
    return _FOUND.get(name, name.replace("_", " "))


def verdict(within: bool | None, budget_seconds: int) -> str:
    """Return whether a time is within its budget, in words."""
    if not budget_seconds:
        return "no budget"
    if within is None:
        return "not known yet"
    return "within" if within else "over"
