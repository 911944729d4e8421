"""Templates of messages: text with named fields in braces, and nothing that could run or reach further."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from string import Formatter

from crypto_core.errors import SettingsError
from crypto_core.notices.notice import Notice, outward
from crypto_core.text.cleaning import clean

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
    for _, field, form, conversion in parts:
        if field is not None and (field not in FIELDS or form or conversion):
            raise SettingsError(f"{{{clean(field, 40)}}} is not one of {', '.join(FIELDS)}")
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
        "at": f"{notice.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "environment": outward(environment, 40),
    }


def _lines(notices: Sequence[Notice]) -> Iterator[str]:
    for notice in notices[:_SHOWN]:
        about = f": {notice.subject}" if notice.subject else ""
        yield f"{notice.severity} {notice.title}{about} ({notice.id})"
    if len(notices) > _SHOWN:
        yield f"and {len(notices) - _SHOWN} more: keydeck notify list"
