"""A notice: something worth telling somebody who is not looking; who gets it, and in which words.

Its texts go to chats, mail and pagers, which give some characters a meaning of their own: so they are made
safe for those too, not only for a terminal.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, tzinfo
from enum import StrEnum
from string import Formatter

from crypto_core.findings.finding import Severity
from crypto_core.log.redaction import redacted
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.errors import SettingsError
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.moments import in_utc

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


FIELDS = (
    *("title", "severity", "kind", "subject", "who", "detail", "remedy", "command"),
    *("at", "id", "environment"),
)
TITLE = "{environment} {severity}: {title}"
BODY = "{title}\nAbout: {subject}\nBy: {who}\n{detail}\n{remedy}\nLook at it: {command}\nAt {at}, id {id}"
TITLE_LIMIT, BODY_LIMIT = 200, 4_000
_SHOWN = 20
"""Notices that one message names, each with its id; more are counted."""


@dataclass(frozen=True, slots=True)
class Message:
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Template:
    """The title and the body of messages. A line whose fields are all empty is left out."""

    title: str = TITLE
    body: str = BODY

    def message(self, notices: Sequence[Notice], environment: str = "") -> Message:
        if len(notices) == 1:
            values = _values(notices[0], environment)
            lines = (_filled(line, values) for line in self.body.splitlines())
            body = "\n".join(line for line in lines if line is not None)
            return Message(outward(_filled(self.title, values) or "", TITLE_LIMIT), body[:BODY_LIMIT])
        notices = sorted(notices, key=lambda one: one.severity.rank)
        worst = notices[0]
        title = f"{environment} {worst.severity}: {len(notices)} notices, such as {worst.title}".strip()
        return Message(outward(title, TITLE_LIMIT), "\n".join(_lines(notices))[:BODY_LIMIT])


def checked_template(text: str) -> str:
    """Return a template's text. Raises SettingsError for a field that there is not, or more than a name."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise SettingsError(
            "a brace has no counterpart", remedy="Write {{ and }} for braces themselves."
        ) from error
    for _, name, form, conversion in parts:
        if name is not None and (name not in FIELDS or form or conversion):
            raise SettingsError(f"{{{clean(name, 40)}}} is not one of {', '.join(FIELDS)}")
    return text


def _filled(line: str, values: dict[str, str]) -> str | None:
    """The line with its fields' values; None if it has fields and all are empty."""
    parts = [(text, field) for text, field, _, _ in Formatter().parse(line)]
    named = [field for _, field in parts if field is not None]
    if named and not any(values[field] for field in named):
        return None
    return "".join(text + (values[field] if field is not None else "") for text, field in parts).strip()


def _values(notice: Notice, environment: str) -> dict[str, str]:
    return {
        **{name: str(getattr(notice, name)) for name in FIELDS if name not in ("at", "environment")},
        "at": in_utc(notice.at),
        "environment": outward(environment, 40),
    }


def _lines(notices: Sequence[Notice]) -> Iterator[str]:
    for notice in notices[:_SHOWN]:
        about = f": {notice.subject}" if notice.subject else ""
        yield f"{notice.severity} {notice.title}{about} ({notice.id})"
    if len(notices) > _SHOWN:
        yield f"and {len(notices) - _SHOWN} more: keydeck notify list"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A time of day in which only what is bad enough is sent; the rest waits. It may go past midnight."""

    begin: time
    end: time
    zone: tzinfo
    passes: Severity = Severity.CRITICAL
    """The least severity that is sent all the same; NONE for no exception."""

    def holds(self, severity: Severity, now: datetime) -> bool:
        """True if what is of this severity waits now."""
        if self.passes is not Severity.NONE and severity.rank <= self.passes.rank:
            return False
        local = now.astimezone(self.zone).time()
        if self.begin <= self.end:
            return self.begin <= local < self.end
        return local >= self.begin or local < self.end


@dataclass(frozen=True, slots=True)
class Receiver:
    """One receiver. `url` is apprise's, and holds its token: it is in no repr, and nothing prints it."""

    name: str
    url: str = field(repr=False)
    kinds: frozenset[NoticeKind] = frozenset(NoticeKind)
    least: Severity = Severity.LOW
    quiet: QuietHours | None = None

    @property
    def service(self) -> str:
        """What the URL is of, such as slack: the part that is no secret."""
        return self.url.partition("://")[0][:20] if "://" in self.url else "?"

    def wants(self, notice: Notice) -> bool:
        return notice.kind in self.kinds and notice.severity.rank <= self.least.rank

    def holds(self, severity: Severity, now: datetime) -> bool:
        return self.quiet is not None and self.quiet.holds(severity, now)


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """Who is told what. `environment` is the word for where this is, such as prod."""

    receivers: tuple[Receiver, ...] = ()
    template: Template = field(default_factory=Template)
    environment: str = ""


def rows_for(receivers: Sequence[Receiver], notices: Sequence[Notice]) -> list[dict[str, object]]:
    return [
        {
            "digest": notice.id,
            "receiver": receiver.name,
            "kind": notice.kind.value,
            "severity": notice.severity.value,
            "told": notice.as_json(),
        }
        for notice in notices
        for receiver in receivers
        if receiver.wants(notice)
    ]
