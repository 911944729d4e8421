"""The purposes of calls under the approvals key, which their encryption context names."""

from __future__ import annotations

from enum import StrEnum

PURPOSE = "keydeck:purpose"


class Purpose(StrEnum):
    """The purpose of one call."""

    ASK = "ask"
    APPROVE = "approve"
    DENY = "deny"
    USE = "use"


ASKERS = (Purpose.ASK, Purpose.USE)
APPROVERS = (Purpose.APPROVE, Purpose.DENY)
"""The purposes for which a policy lets each of them use the key."""
