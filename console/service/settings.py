"""Settings of notifications: receivers, quiet hours, templates."""

from __future__ import annotations

import os
import re
from datetime import time
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, field_validator, model_validator

from console.setting_parts import AddedSettings
from crypto_core.findings.finding import Severity
from crypto_core.notices import notice
from crypto_core.values.errors import SettingsError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_HOURS = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")


def _checked_hours(text: str | None) -> str | None:
    if text and not _HOURS.fullmatch(text):
        raise ValueError("not hours such as 22:00-07:00")
    return text


class ReceiverSettings(BaseModel, extra="forbid", frozen=True):
    """Who is notified. In the file its URL alone will do."""

    url: str = Field("", repr=False, max_length=4096, description="apprise's; it holds a token")
    url_variable: str = Field(
        "", max_length=100, pattern="^[A-Za-z0-9_]*$", description="the environment variable that has it"
    )
    kinds: tuple[notice.NoticeKind, ...] = tuple(notice.NoticeKind)
    severity: Severity = Field(Severity.LOW, description="the least that is sent")
    quiet: str | None = Field(None, description="hours of its own, such as 22:00-07:00; empty for none")

    @model_validator(mode="before")
    @classmethod
    def _url_alone(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @field_validator("quiet")
    @classmethod
    def _are_hours(cls, value: str | None) -> str | None:
        return _checked_hours(value)

    def found_url(self, name: str) -> str:
        """Return the URL, of the environment where that has it. Raises SettingsError without one."""
        url = os.environ.get(self.url_variable, "") if self.url_variable else self.url
        if "://" not in url:
            where = f"{self.url_variable} in the environment" if self.url_variable else "notify.receivers"
            raise SettingsError(
                f"Receiver {name} has no URL ({where}).",
                remedy="Such as slack://…, mailtos://… or jsons://host/path, as apprise has them.",
            )
        return url

    @property
    def place(self) -> str:
        """Where the URL comes from, or what it is of: what is no secret."""
        return self.url_variable or f"{self.url.partition('://')[0][:20]}://(hidden)"


class NotifySettings(BaseModel, extra="forbid", frozen=True):
    receivers: dict[str, ReceiverSettings] = Field(default_factory=dict, repr=False)
    quiet: str = Field("", description="hours in which only what is bad enough is sent: 22:00-07:00")
    quiet_passes: Severity = Field(Severity.CRITICAL, description="the least that is; none for nothing")
    time_zone: str = "UTC"
    title: str = Field(notice.TITLE, max_length=400)
    body: str = Field(notice.BODY, max_length=4_000)

    @field_validator("receivers", mode="before")
    @classmethod
    def _have_names(cls, value: Any) -> Any:
        # The name is not repeated: it may be a URL in the wrong place.
        if isinstance(value, dict) and not all(_NAME.fullmatch(str(name)) for name in value):
            raise ValueError("a name is not up to 40 letters, digits, - and _")
        return value

    @field_validator("quiet")
    @classmethod
    def _are_hours(cls, value: str) -> str | None:
        return _checked_hours(value)

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("not a time zone such as Europe/Berlin") from None
        return value

    @field_validator("title", "body")
    @classmethod
    def _is_a_template(cls, value: str) -> str:
        try:
            return notice.checked_template(value)
        except SettingsError as error:
            raise ValueError(error.message.rstrip(".")) from None

    def built(self, environment: str) -> notice.NoticeSettings:
        """Return what notifications are made by. Raises SettingsError for a receiver without a URL."""
        receivers = tuple(
            notice.Receiver(
                name, one.found_url(name), frozenset(one.kinds), one.severity, self._hours(one.quiet)
            )
            for name, one in self.receivers.items()
        )
        return notice.NoticeSettings(receivers, notice.Template(self.title, self.body), environment)

    def _hours(self, own: str | None) -> notice.QuietHours | None:
        hours = self.quiet if own is None else own
        if not hours:
            return None
        begin, end = (time.fromisoformat(part) for part in hours.split("-"))
        return notice.QuietHours(begin, end, ZoneInfo(self.time_zone), self.quiet_passes)

    def shown(self) -> str:
        """Return the receivers as they may be shown, without their URLs."""
        return "; ".join(
            f"{name} = {one.place}, {'/'.join(one.kinds)}, {one.severity} and worse"
            for name, one in self.receivers.items()
        )


class ServiceSettings(AddedSettings):
    after: ClassVar = {"notify": "approval_minutes"}

    notify: NotifySettings = Field(
        default_factory=NotifySettings, validation_alias="KEYDECK_NOTIFY", repr=False
    )
    """Who is notified, of what and when: receivers, quiet hours, templates; in the environment as JSON."""
