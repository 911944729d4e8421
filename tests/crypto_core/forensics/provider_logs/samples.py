"""Records of audit logs as the providers' documents show them."""

from __future__ import annotations

import copy
import hashlib
from base64 import b64encode
from typing import Any

HASH = b64encode(hashlib.sha256(b"gho_a-token").digest()).decode()


def github(number: int = 1, **fields: Any) -> dict[str, Any]:
    """Return an event of a GitHub organisation's audit log."""
    return {
        "@timestamp": 1_790_000_000_000 + number * 1000,
        "_document_id": f"gh-{number}",
        "action": "git.clone",
        "actor": "octocat",
        "actor_ip": "198.51.100.9",
        "created_at": 1_790_000_000_000 + number * 1000,
        "hashed_token": HASH,
        "org": "acme",
        "programmatic_access_type": "OAuth access token",
        "repo": "acme/api",
        "user_agent": "git/2.45",
        **fields,
    }


def slack(number: int = 1, **fields: Any) -> dict[str, Any]:
    """Return an entry of Slack's audit logs."""
    return {
        "id": f"sl-{number}",
        "date_create": 1_790_000_000 + number,
        "action": "file_downloaded",
        "actor": {
            "type": "user",
            "user": {"id": "W1", "name": "bot", "email": "bot@acme.test", "team": "T01"},
        },
        "entity": {"type": "channel", "channel": {"id": "C1", "name": "general"}},
        "context": {
            "location": {"type": "workspace", "id": "T01"},
            "ua": "python-requests/2.32",
            "ip_address": "198.51.100.9",
            "app": {"id": "A01"},
        },
        **fields,
    }


def atlassian(number: int = 1, **attributes: Any) -> dict[str, Any]:
    """Return an event of an Atlassian organisation."""
    return {
        "id": f"at-{number}",
        "type": "events",
        "attributes": {
            "time": f"2026-09-21T10:00:{number % 60:02}.500Z",
            "action": "jira_issue_viewed",
            "actor": {"id": "5f", "name": "Ann", "email": "ann@acme.test", "auth": {"authType": "api-token"}},
            "context": [{"id": "c", "type": "issue", "attributes": {"name": "ACME-1"}}],
            "container": [{"id": "x", "type": "sites", "attributes": {"siteHostName": "acme.atlassian.net"}}],
            "location": {"ip": "198.51.100.9"},
            **attributes,
        },
    }


def deep(levels: int) -> Any:
    """Return a value that is nested so deeply."""
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return copy.copy(value)
