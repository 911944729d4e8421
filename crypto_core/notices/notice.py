"""A notice: something that is worth telling somebody who is not looking.

Its texts go to chats, mail and pagers, which give some characters a meaning of their own: so they are made
safe for those too, not only for a terminal.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from crypto_core.findings.severity import Severity
from crypto_core.log.redaction import redacted
from crypto_core.text.cleaning import CleanText, clean
from crypto_core.text.json_records import JsonRecord, shape

_LIMITS = {"title": 200, "subject": 300, "who": 300, "detail": 1_000, "remedy": 600, "command": 200}
_MENTION = re.compile(r"@(?=(?:everyone|here|channel|all|team)\b)", re.IGNORECASE)
_ANGLES = str.maketrans({"<": "‹", ">": "›", "`": "'"})
"""Chats read <!channel>, <@U123> and <https://…|label> as commands of their own."""


class NoticeKind(StrEnum):
    """What notices are about; a receiver takes some of them."""

    INCIDENT = "incident"
    FINDING = "finding"
    APPROVAL = "approval"
    CHECK = "check"
    """A check that failed: of tokens, of an incident's step, of the journal."""


def outward(text: object, limit: int) -> CleanText:
    """Return text for a receiver: clean, without apparent secrets, and with nothing that a chat acts on."""
    hidden = redacted(clean(text, limit)).translate(_ANGLES)
    return clean(_MENTION.sub("@ ", hidden), limit)


@dataclass(frozen=True, slots=True)
class Notice(JsonRecord):
    """One notice: `title` says what happened, `subject` to what; twins have one `id`, however often sent."""

    id: str
    kind: NoticeKind
    severity: Severity
    at: datetime
    title: str
    subject: str = ""
    who: str = ""
    detail: str = ""
    remedy: str = ""
    command: str = ""

    json_shape = shape("...", at=lambda notice: notice.at.astimezone(UTC))

    def __post_init__(self) -> None:
        for name, limit in _LIMITS.items():
            object.__setattr__(self, name, outward(getattr(self, name), limit))


def notice_id(*parts: object) -> str:
    state = hashlib.sha256()
    for part in parts:
        encoded = str(part).encode()
        state.update(len(encoded).to_bytes(8, "big") + encoded)
    return state.hexdigest()[:20]
