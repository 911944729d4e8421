"""The audit logs of the sandbox's GitHub, Slack and Atlassian: what was done there, as their APIs tell it.

Served to whoever presents AUDIT_TOKEN, page by page. A use names a token; GitHub's log keeps its SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from console.sandbox.http_message import HttpAnswer, json_answer

AUDIT_TOKEN = "demo-reader-of-audit-logs"  # noqa: S105 - nothing takes it but this
ATLASSIAN_ORG = "demo-org"
_WINDOW = re.compile(r"created:(\S+)\.\.(\S+)")


class AuditLogs:
    """What was done, in the order of time."""

    def __init__(self) -> None:
        self._past: list[Mapping[str, Any]] = []

    def add(self, uses: Iterable[Mapping[str, Any]]) -> int:
        """Take uses in, each with the fields of ProviderUse, and return how many there are now."""
        self._past = sorted([*self._past, *uses], key=lambda use: use["time"])
        return len(self._past)

    def exported(self, provider: str) -> list[dict[str, Any]]:
        return [_SHAPES[provider](use) for use in self._past if use["provider"] == provider]

    def answer(self, provider: str, target: str, token: str, base: str) -> HttpAnswer | None:
        """Answer a request for an audit log; None for another one. `base` is the provider's URL."""
        parts = urlsplit(target)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        wanted = _WANTED.get(provider)
        named = wanted[0].fullmatch(parts.path) if wanted else None
        if wanted is None or named is None:
            return None
        if token != AUDIT_TOKEN:
            status = 200 if provider == "slack" else 401
            return json_answer(status, {"ok": False, "error": "invalid_auth", "message": "Bad credentials"})
        return wanted[1](self, named, asked, base)

    def _between(self, provider: str, since: float, until: float) -> list[dict[str, Any]]:
        return [
            _SHAPES[provider](use)
            for use in self._past
            if use["provider"] == provider and since <= use["time"] <= until
        ]

    def _github(self, named: re.Match[str], asked: Mapping[str, str], base: str) -> HttpAnswer:
        window = _WINDOW.search(asked.get("phrase", ""))
        since, until = (
            (datetime.fromisoformat(text).timestamp() for text in window.groups()) if window else (0, 9e9)
        )
        records = [
            one for one in self._between("github", since, until + 1) if named[1] in (one["org"], "all")
        ]
        page, following = _page(records, asked.get("after", ""), int(asked.get("per_page", "30")))
        query = urlencode({**asked, "after": following})
        link = [("Link", f'<{base}{named[0]}?{query}>; rel="next"')] if following else []
        return json_answer(200, page, *link)

    def _slack(self, _named: re.Match[str], asked: Mapping[str, str], _base: str) -> HttpAnswer:
        records = self._between("slack", float(asked.get("oldest", "0")), float(asked.get("latest", "9e9")))
        page, following = _page(records[::-1], asked.get("cursor", ""), int(asked.get("limit", "100")))
        return json_answer(200, {"entries": page, "response_metadata": {"next_cursor": following}})

    def _atlassian(self, named: re.Match[str], asked: Mapping[str, str], base: str) -> HttpAnswer:
        if named[1] != ATLASSIAN_ORG:
            return json_answer(404, {"message": "organisation not found"})
        since, until = (
            float(asked.get(name, default)) / 1000 for name, default in (("from", "0"), ("to", "9e12"))
        )
        records = self._between("atlassian", since, until)
        page, following = _page(records[::-1], asked.get("cursor", ""), int(asked.get("limit", "100")))
        links = {"next": f"{base}{named[0]}?cursor={following}"} if following else {}
        return json_answer(200, {"data": page, "meta": {"next": following or None}, "links": links})


_WANTED: Mapping[str, tuple[re.Pattern[str], Callable[..., HttpAnswer]]] = {
    "github": (re.compile(r"/orgs/([^/]+)/audit-log"), AuditLogs._github),  # noqa: SLF001
    "slack": (re.compile(r"/audit/v1/logs"), AuditLogs._slack),  # noqa: SLF001
    "atlassian": (re.compile(r"/admin/v1/orgs/([^/]+)/events"), AuditLogs._atlassian),  # noqa: SLF001
}


def _page(records: list[dict[str, Any]], position: str, size: int) -> tuple[list[dict[str, Any]], str]:
    start = int(base64.urlsafe_b64decode(position).decode()) if position else 0
    following = base64.urlsafe_b64encode(str(start + size).encode()).decode()
    return records[start : start + size], following if start + size < len(records) else ""


def _github_record(use: Mapping[str, Any]) -> dict[str, Any]:
    record = {
        "@timestamp": round(use["time"] * 1000),
        "_document_id": _id(use),
        "action": use["action"],
        "actor": use["actor"],
        "actor_ip": use["address"],
        "created_at": round(use["time"] * 1000),
        "operation_type": "access",
        "org": use["place"],
        "repo": use["target"],
        "user_agent": use["agent"],
    }
    if use["programmatic"]:
        digest = hashlib.sha256(use["token"].encode()).digest()
        record |= {
            "hashed_token": base64.b64encode(digest).decode(),
            "programmatic_access_type": "OAuth access token",
        }
    return record


def _slack_record(use: Mapping[str, Any]) -> dict[str, Any]:
    app = {"app": {"id": "A0PLATFORM", "name": "Platform"}} if use["programmatic"] else {}
    return {
        "id": _id(use),
        "date_create": int(use["time"]),
        "action": use["action"],
        "actor": {"type": "user", "user": {"id": "W1", "name": use["actor"], "team": use["place"]}},
        "entity": {"type": "channel", "channel": {"id": "C1", "name": use["target"]}},
        "context": {
            "location": {"type": "workspace", "id": use["place"]},
            "ua": use["agent"],
            "ip_address": use["address"],
            **app,
        },
    }


def _atlassian_record(use: Mapping[str, Any]) -> dict[str, Any]:
    auth = {"auth": {"authType": "api-token"}} if use["programmatic"] else {}
    moment = datetime.fromtimestamp(use["time"], UTC).isoformat(timespec="milliseconds")
    return {
        "id": _id(use),
        "type": "events",
        "attributes": {
            "time": moment,
            "action": use["action"],
            "actor": {"id": "5f", "name": use["actor"], **auth},
            "context": [
                {"id": "c", "type": "issue", "attributes": {"name": use["target"], "userAgent": use["agent"]}}
            ],
            "container": [{"id": "x", "type": "sites", "attributes": {"siteHostName": use["place"]}}],
            "location": {"ip": use["address"]},
        },
    }


_SHAPES: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "github": _github_record,
    "slack": _slack_record,
    "atlassian": _atlassian_record,
}


def _id(use: Mapping[str, Any]) -> str:
    told = "|".join(str(use[name]) for name in ("time", "provider", "place", "address", "action", "target"))
    return hashlib.sha256(told.encode()).hexdigest()[:22]
