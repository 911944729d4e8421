"""The purposes of calls under the approvals key, which their encryption context names."""

from __future__ import annotations

from enum import StrEnum

PURPOSE = "keydeck:purpose"


class Purpose(StrEnum):
    ASK = "ask"
    APPROVE = "approve"
    DENY = "deny"
    USE = "use"


ASKERS = (Purpose.ASK, Purpose.USE)
APPROVERS = (Purpose.APPROVE, Purpose.DENY)
"""By purpose a policy lets each of them use the key."""
