"""The requests that read a provider's audit log page by page, and what an answer says: one record a provider.

GitHub REST API, "Get the audit log for an organization" (Link header); Slack, "Audit Logs API methods";
Atlassian, "Organizations REST API", "Get an audit log of events". Of an answer only the position of the next
page is taken, never an address: every request goes to the host that was agreed to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from crypto_core.forensics.provider_logs.event import milliseconds_of
from crypto_core.providers.builtin.atlassian import ATLASSIAN
from crypto_core.providers.endpoints import GITHUB, SLACK, Endpoints
from crypto_core.providers.messages import ProviderAnswer, Request, bearer, unexpected
from crypto_core.values.errors import SettingsError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_POSITION = re.compile(r"[\x21-\x7e]{1,1000}")
_NEXT = re.compile(r'<([^<>]{1,4000})>\s*;[^,<]*rel="?next"?')
_SLACK_AUDIT = "https://api.slack.com"


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page: its records as they came, and the position of the next one, "" after the last."""

    records: tuple[Any, ...]
    following: str


@dataclass(frozen=True, slots=True)
class LogApi:
    """How a provider's audit log is read. `organisation` is what it calls the owner of the log.

    `burst` requests may come at once, each later one after `every` seconds; so many the provider allows.
    """

    provider: str
    organisation: str
    variable: str
    needs: str
    base: Callable[[Endpoints], str]
    path: str
    """Path and query. A window's `begin` and `end` are moments, `oldest` and `latest` seconds since 1970,
    `from_ms` and `to_ms` milliseconds."""
    position: str
    records: str
    """The field with the records; "" where an answer is a list of them."""
    following: Callable[[ProviderAnswer], str]
    headers: Mapping[str, str]
    burst: int
    every: float
    needs_name: bool = True

    def request(
        self, endpoints: Endpoints, name: str, window: tuple[datetime, datetime], position: str, token: str
    ) -> Request:
        """Return the request of a page, "" being the first one's position. The token is in a header alone."""
        since, until = window
        path = self.path.format(
            name=quote(name, safe=""),
            begin=_seconds(since),
            end=_seconds(until),
            oldest=int(since.timestamp()),
            latest=int(until.timestamp()),
            from_ms=milliseconds_of(since),
            to_ms=milliseconds_of(until),
        )
        further = f"&{urlencode({self.position: position})}" if position else ""
        return Request("GET", f"{self.base(endpoints)}{path}{further}", {**self.headers, **bearer(token)})

    def page(self, answer: ProviderAnswer) -> LogPage | None:
        """Return what an answer holds; None where it is no page."""
        told = answer.fields()
        found = told.get(self.records) if self.records else answer.document()
        if answer.status != 200 or not isinstance(found, list) or told.get("ok") is False:
            return None
        return LogPage(tuple(found), self.following(answer))


def require_name(api: LogApi, name: str) -> str:
    if (not name and not api.needs_name) or _NAME.fullmatch(name):
        return name
    raise SettingsError(
        f"That is no {api.organisation}.",
        remedy=f"Name the {api.organisation} with --org, as in its address.",
    )


def _seconds(moment: datetime) -> str:
    return quote(f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", safe="")


def _after_link(answer: ProviderAnswer) -> str:
    following = _NEXT.search(answer.headers.get("link", "")[:20_000])
    return _parameter(following[1], "after") if following else ""


def _after_cursor(answer: ProviderAnswer) -> str:
    further = answer.fields().get("response_metadata")
    return _position(further.get("next_cursor")) if isinstance(further, dict) else ""


def _after_meta(answer: ProviderAnswer) -> str:
    told = answer.fields()
    meta, links = told.get("meta"), told.get("links")
    following = _position(meta.get("next")) if isinstance(meta, dict) else ""
    if not following and isinstance(links, dict) and isinstance(links.get("next"), str):
        following = _parameter(links["next"], "cursor")
    return following


def _parameter(address: str, name: str) -> str:
    """A parameter of a URL, "" where it has none; the URL itself is not gone to."""
    try:
        found = parse_qs(urlsplit(address[:4_000]).query, max_num_fields=50).get(name, [""])
    except ValueError:
        return ""
    return _position(found[0])


def _position(value: object) -> str:
    return value if isinstance(value, str) and _POSITION.fullmatch(value) else ""


LOG_APIS: Mapping[str, LogApi] = {
    api.provider: api
    for api in (
        LogApi(
            "github",
            "GitHub organisation",
            "KEYDECK_GITHUB_AUDIT_TOKEN",
            "the scope read:audit_log, of an owner of the organisation",
            base=lambda endpoints: endpoints.of("github", GITHUB),
            path="/orgs/{name}/audit-log?phrase=created%3A{begin}..{end}&include=all&order=asc&per_page=100",
            position="after",
            records="",
            following=_after_link,
            headers={"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"},
            burst=60,
            every=2.1,
        ),
        LogApi(
            "slack",
            "Slack organisation",
            "KEYDECK_SLACK_AUDIT_TOKEN",
            "the scope auditlogs:read, of an owner of an Enterprise organisation",
            base=lambda e: _SLACK_AUDIT if e.of("slack", SLACK) == SLACK else e.of("slack"),
            path="/audit/v1/logs?oldest={oldest}&latest={latest}&limit=200",
            position="cursor",
            records="entries",
            following=_after_cursor,
            headers={"Accept": "application/json"},
            burst=20,
            every=1.3,
            needs_name=False,
        ),
        LogApi(
            "atlassian",
            "Atlassian organisation's id",
            "KEYDECK_ATLASSIAN_AUDIT_TOKEN",
            "an API key of the organisation with the scope read:events:admin",
            base=lambda endpoints: endpoints.of("atlassian", ATLASSIAN),
            path="/admin/v1/orgs/{name}/events?from={from_ms}&to={to_ms}&limit=200",
            position="cursor",
            records="data",
            following=_after_meta,
            headers={"Accept": "application/json"},
            burst=9,
            every=6.1,
        ),
    )
}
"""By provider. GitHub takes 1,750 of these requests an hour, Slack 50 and Atlassian 10 a minute."""


def trouble_of(api: LogApi, answer: ProviderAnswer) -> str:
    """Return why an answer is no page, in words; no text of it but its short message."""
    if answer.status in (401, 403):
        return f"{unexpected(answer)}. The token needs {api.needs}"
    return unexpected(answer) if answer.status != 200 else "an answer that holds no events"
