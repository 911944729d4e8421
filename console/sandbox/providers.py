"""The sandbox's GitHub, Slack, Jira and Confluence, under `/_providers/` of the endpoint.

Every token that the generator made is alive, and every one that was issued since, until it is revoked.
Tokens are kept as SHA-256. What goes wrong on purpose is set with `ProviderControl`.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from console.sandbox import provider_abilities as abilities
from console.sandbox.audit_logs import AuditLogs
from console.sandbox.http_message import HttpAnswer, HttpRequest, json_answer
from console.sandbox.provider_tokens import MARKER

PREFIX = "/_providers/"
CLIENT_ID, CLIENT_SECRET = "Iv1.keydeckdemo", "not-a-real-secret"  # nothing takes it but this
"""The OAuth app whose tokens begin with gho_."""
BATCH = 1_000
_CALLS = 20_000
"""Requests that are remembered."""
_HANG = 3_600.0


class ProviderResetError(Exception):
    """The connection is to be reset."""


@dataclass(slots=True)
class ProviderFault:
    """Makes `count` requests of a provider ("" is any) fail; `path` is a part of theirs, "" any.

    `kind`: throttled, error, hang, reset, garbage, huge, redirect, forbidden, login-failed, anonymous or
    unnamed.
    """

    provider: str
    kind: str
    count: int = 1
    path: str = ""
    retry_after: str = "1"


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """A request that came. `tokens` are how many it was about; `presented` how it was authenticated."""

    provider: str
    method: str
    path: str
    presented: str
    tokens: int
    forwarded: str
    cookie: bool
    query: str = ""


class Providers:
    """Answers as the four providers do. `delay` is the seconds that GitHub takes to revoke after its 202."""

    def __init__(self) -> None:
        self._issued: set[str] = set()
        self._faults: list[ProviderFault] = []
        self.calls: deque[ProviderCall] = deque(maxlen=_CALLS)
        self.logs = AuditLogs()
        """Of these the past stays, whatever is cleared."""
        self.clear()

    def clear(self) -> None:
        """As at the start: nothing revoked, nothing issued besides, nothing that goes wrong."""
        self._dead_from: dict[str, float] = {}
        self._issued.clear()
        self._faults.clear()
        self.calls.clear()
        self._delay = 0.3
        self._name = ""

    async def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answer one request. Raises ProviderResetError where the connection is to be reset."""
        provider, _, path = request.target.removeprefix(PREFIX).partition("/")
        path, _, query = f"/{path}".partition("?")
        if provider == "control":
            return self._control(path, json.loads(request.body or b"{}"))
        scheme, token, user = _presented(request.headers)
        told = self._document(request)
        tokens = told.get("credentials", [])
        self.calls.append(
            ProviderCall(
                provider,
                request.method,
                path,
                scheme,
                len(tokens) or int(bool(token)),
                request.headers.get("X-Forwarded-Host", ""),
                "Cookie" in request.headers,
                query,
            )
        )
        if fault := self._struck(provider, path):
            broken = await self._broken(fault, request)
            if broken is not None:
                return broken
        base = f"http://{request.headers.get('Host', '')}{PREFIX}{provider}"
        target = f"{path}?{query}"
        if request.method == "GET" and (log := self.logs.answer(provider, target, token, base)) is not None:
            return log
        match provider:
            case "github":
                return self._github(request.method, path, query, scheme, token, user, told)
            case "slack":
                return self._slack(request.method, path, query, token)
            case "atlassian":
                return self._atlassian(path, query, scheme, token, user)
            case _:
                return json_answer(404, {"message": "Not Found"})

    def _struck(self, provider: str, path: str) -> ProviderFault | None:
        for fault in self._faults:
            if fault.count and fault.provider in ("", provider) and fault.path in path:
                fault.count -= 1
                return fault
        return None

    async def _broken(self, fault: ProviderFault, request: HttpRequest) -> HttpAnswer | None:
        match fault.kind:
            case "throttled":
                return json_answer(429, {"message": "too many requests"}, ("Retry-After", fault.retry_after))
            case "error":
                return json_answer(500, {"message": "Server Error"})
            case "hang":
                await asyncio.sleep(_HANG)
            case "reset":
                raise ProviderResetError
            case "garbage":
                return HttpAnswer(200, [("Content-Type", "text/html")], b"<html>\x1b[31m\xff{not json")
            case "huge":
                return HttpAnswer(200, [("Content-Type", "application/json")], b" " * 10_000_000)
            case "redirect":
                # The same server under another name: it would note a request with a token.
                host = request.headers.get("Host", "").replace("127.0.0.1", "localhost")
                where = f"http://{host}{PREFIX}elsewhere/user"
                return HttpAnswer(307, [("Location", where), ("Content-Type", "text/html")], b"")
            case "forbidden":
                return HttpAnswer(403, [("Content-Type", "text/html")], b"<html>blocked by policy</html>")
            case "login-failed":
                return json_answer(200, {"accountId": ""}, ("X-Seraph-LoginReason", "AUTHENTICATED_FAILED"))
            case "anonymous":
                return json_answer(200, {"type": "anonymous", "displayName": "Anonymous"})
            case "unnamed":
                return json_answer(200, {})
            case _:
                return None
        return None

    def _github(
        self, method: str, path: str, query: str, scheme: str, token: str, user: str, told: Mapping[str, Any]
    ) -> HttpAnswer:
        match method, path:
            case "GET", "/user":
                if not self._alive(token) or token.startswith("ghr_"):
                    return json_answer(401, {"message": "Bad credentials"})
                if token.startswith("ghs_"):
                    return json_answer(403, {"message": "Resource not accessible by integration"})
                account = {"login": self._name or f"user-{_hash(token)[:6]}", "id": 1}
                return json_answer(200, account, *abilities.github_headers(token))
            case "POST", "/credentials/revoke":
                if scheme:
                    return json_answer(403, {"message": "Authenticated requests are not allowed"})
                tokens = told.get("credentials")
                if not isinstance(tokens, list) or not 1 <= len(tokens) <= BATCH:
                    return json_answer(422, {"message": "Validation Failed"})
                for each in tokens:
                    self._revoke(each, self._delay)
                return json_answer(202, {})
            case "DELETE", "/installation/token":
                if not self._alive(token):
                    return json_answer(401, {"message": "Bad credentials"})
                self._revoke(token)
                return HttpAnswer(204, [], b"")
            case "DELETE", _ if path == f"/applications/{CLIENT_ID}/token":
                if (user, token) != (CLIENT_ID, CLIENT_SECRET):
                    return json_answer(401, {"message": "Bad credentials"})
                named = str(told.get("access_token", ""))
                if not (self._alive(named) and named.startswith("gho_")):
                    return json_answer(404, {"message": "Not Found"})
                self._revoke(named)
                return HttpAnswer(204, [], b"")
            case "GET", _ if self._alive(token):
                return abilities.github(path, query, token) or json_answer(404, {"message": "Not Found"})
            case _:
                return json_answer(404, {"message": "Not Found"})

    def _slack(self, method: str, path: str, query: str, token: str) -> HttpAnswer:
        if not self._alive(token):
            error = "token_revoked" if _hash(token) in self._dead_from else "invalid_auth"
            return json_answer(200, {"ok": False, "error": error})
        if path == "/api/auth.test":
            said = {"ok": True, "user": self._name or "keydeck-bot", "team": "Keydeck Demo"}
            return json_answer(200, said | abilities.slack_identity(token), abilities.slack_scopes(token))
        if path == "/api/auth.revoke" and method == "POST":
            self._revoke(token)
            return json_answer(200, {"ok": True, "revoked": True})
        unknown = json_answer(200, {"ok": False, "error": "unknown_method"})
        return abilities.slack(path, query, token) or unknown

    def _atlassian(self, path: str, query: str, scheme: str, token: str, user: str) -> HttpAnswer:
        if path == "/oauth/token/accessible-resources":
            if scheme == "Bearer" and self._alive(token) and token.startswith("eyJ"):
                return json_answer(200, abilities.sites(token, self._name))
            return json_answer(401, {"code": 401, "message": "Unauthorized"})
        if scheme != "Basic" or "@" not in user or not self._alive(token):
            failed = ("X-Seraph-LoginReason", "AUTHENTICATED_FAILED")
            return json_answer(
                401, {"message": "Client must be authenticated to access this resource."}, failed
            )
        if (answer := abilities.atlassian(path, query, token)) is not None:
            return answer
        named = {"accountId": f"demo:{_hash(token)[:8]}", "displayName": self._name or user, "type": "known"}
        named |= abilities.more_of_account(query, token, wiki=path.startswith("/wiki/"))
        # What a session would vouch for must not be kept by whoever asks.
        return json_answer(200, named, ("Set-Cookie", "tenant.session.token=alive; Path=/"))

    def _alive(self, token: str) -> bool:
        hashed = _hash(token)
        known = MARKER in token or hashed in self._issued
        return known and time.monotonic() < self._dead_from.get(hashed, float("inf"))

    def _revoke(self, token: str, after: float = 0.0) -> None:
        self._dead_from.setdefault(_hash(token), time.monotonic() + after)

    def _document(self, request: HttpRequest) -> dict[str, Any]:
        try:
            told = json.loads(request.body or b"{}")
        except ValueError:
            return {}
        return told if isinstance(told, dict) else {}

    def _control(self, path: str, told: Mapping[str, Any]) -> HttpAnswer:
        match path:
            case "/clear":
                self.clear()
            case "/issue":
                self._issued.add(_hash(told["token"]))
                self._dead_from.pop(_hash(told["token"]), None)
            case "/revoke":
                self._revoke(told["token"])
            case "/fault":
                self._faults.append(ProviderFault(**told))
            case "/behave":
                self._delay, self._name = float(told["delay"]), str(told["name"])
            case "/use":
                self.logs.add(told["uses"])
            case "/export":
                return json_answer(200, self.logs.exported(told["provider"]))
            case "/calls":
                return json_answer(200, [asdict(call) for call in self.calls])
            case _:
                return json_answer(404, {"message": f"no such call: {path}"})
        return json_answer(200, {})


def _presented(headers: Mapping[str, str]) -> tuple[str, str, str]:
    """How a request is authenticated, the token or password, and the user."""
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    if scheme != "Basic":
        return scheme, value, ""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return scheme, "", ""
    return scheme, password, user


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
