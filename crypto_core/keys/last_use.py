"""A key's last use as an answer to what happened since a moment.

API reference, GetKeyLastUsage: the last successful use alone, eventually consistent. Its silence is never
taken as no use; CloudTrail has every use.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from crypto_core.key_uses import MAKES
from crypto_core.keys.state import KeyState


class LastUse(StrEnum):
    """SEALED is certain; of each other one the value says why it isn't known whether somebody sealed."""

    SEALED = "it made something new"
    OTHER = "GetKeyLastUsage has the last use alone, which hides others"
    SILENT = "KMS reports use with a delay"
    UNTRACKED = "KMS does not report the last use"
    UNREAD = "its last use could not be read"


def last_use_since(state: KeyState, since: datetime | None) -> LastUse:
    """Return what KMS's answer says of the time since a moment, None for as far back as it reaches."""
    used, tracked = state.last_used_at, state.use_tracked_since
    if {"last use", "state"} & state.missing.keys():
        return LastUse.UNREAD
    if used is not None and (since is None or used > since):
        return LastUse.SEALED if state.last_used_for in MAKES else LastUse.OTHER
    if used is None and (tracked is None or (since is not None and tracked > since)):
        return LastUse.UNTRACKED
    return LastUse.SILENT
