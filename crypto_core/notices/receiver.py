"""Who is notified, of what, and when not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, tzinfo

from crypto_core.findings.severity import Severity
from crypto_core.notices.notice import Notice, NoticeKind
from crypto_core.notices.template import Template


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
