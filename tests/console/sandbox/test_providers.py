"""The sandbox's GitHub, Slack, Jira and Confluence answer as theirs do; nothing in it reaches a real one."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from time import sleep
from typing import Any

import pytest

from console.sandbox.provider_tokens import MARKER
from console.sandbox.providers import CLIENT_ID, CLIENT_SECRET
from console.sandbox.providers_control import ProviderControl
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.providers.endpoints import GITHUB, SLACK
from crypto_core.values.errors import SettingsError

Call = Callable[..., tuple[int, Any]]
_TOKEN = f"ghp_{MARKER}1"


@pytest.fixture
def call(providers: ProviderControl) -> Call:
    """Send a request to one of the providers; returns the status and the document."""
    urls = {name.split("_")[1].lower(): url for name, url in providers.settings().items()}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def send(provider: str, method: str, path: str, auth: str = "", body: Any = None) -> tuple[int, Any]:
        request = urllib.request.Request(
            urls[provider] + path,
            method=method,
            headers={"Authorization": auth} if auth else {},
            data=None if body is None else json.dumps(body).encode(),
        )
        try:
            with opener.open(request, timeout=10) as answer:
                content = answer.read()
                return answer.status, json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    return send


def basic(user: str, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def test_github_accepts_a_revocation_first_and_carries_it_out_after_a_moment(
    call: Call, providers: ProviderControl, sandbox: Sandbox
) -> None:
    bearer = f"Bearer {_TOKEN}"
    assert call("github", "GET", "/user", bearer)[0] == 200
    assert call("github", "GET", "/user", "Bearer ghp_unknown")[0] == 401
    assert call("github", "POST", "/credentials/revoke", bearer, {"credentials": [_TOKEN]})[0] == 403
    assert call("github", "POST", "/credentials/revoke", "", {"credentials": ["x"] * 1_001})[0] == 422
    providers.behave(delay=0.2)
    assert call("github", "POST", "/credentials/revoke", "", {"credentials": [_TOKEN]})[0] == 202
    while call("github", "GET", "/user", bearer)[0] != 401:
        sleep(0.02)
    # The endpoint's `clear` sets the providers back, too, so that no test finds what another one revoked.
    sandbox.control.clear()
    assert call("github", "GET", "/user", bearer)[0] == 200


def test_each_kind_of_github_token_has_its_way(call: Call) -> None:
    installation, app = f"ghs_{MARKER}1", f"gho_{MARKER}1"
    assert call("github", "GET", "/user", f"Bearer {installation}")[0] == 403
    assert call("github", "DELETE", "/installation/token", f"Bearer {installation}")[0] == 204
    assert call("github", "GET", "/user", f"Bearer {installation}")[0] == 401
    path, secret = f"/applications/{CLIENT_ID}/token", basic(CLIENT_ID, CLIENT_SECRET)
    assert call("github", "DELETE", path, basic(CLIENT_ID, "wrong"), {"access_token": app})[0] == 401
    assert call("github", "DELETE", path, secret, {"access_token": _TOKEN})[0] == 404
    assert call("github", "DELETE", path, secret, {"access_token": app})[0] == 204
    assert call("github", "GET", "/user", f"Bearer {app}")[0] == 401


def test_slack_says_in_the_body_what_went_wrong(call: Call) -> None:
    bot = f"Bearer xoxb-{MARKER}"
    assert call("slack", "POST", "/api/auth.test", bot)[1]["ok"] is True
    assert call("slack", "POST", "/api/auth.revoke", bot) == (200, {"ok": True, "revoked": True})
    assert call("slack", "POST", "/api/auth.test", bot) == (200, {"ok": False, "error": "token_revoked"})
    assert call("slack", "POST", "/api/auth.test", "Bearer xoxb-1")[1]["error"] == "invalid_auth"


def test_one_atlassian_token_serves_jira_and_confluence_until_somebody_deletes_it(
    call: Call, providers: ProviderControl
) -> None:
    token = f"ATATT3{MARKER}"
    paths = ("/rest/api/3/myself", "/wiki/rest/api/user/current")
    for path in paths:
        assert call("atlassian", "GET", path, basic("bot@a.example", token))[1]["accountId"]
        assert call("atlassian", "GET", path, f"Bearer {token}")[0] == 401
    providers.revoke(token)
    for path in paths:
        assert call("atlassian", "GET", path, basic("bot@a.example", token))[0] == 401
    oauth = f"eyJ.{MARKER}"
    assert call("atlassian", "GET", "/oauth/token/accessible-resources", f"Bearer {oauth}")[0] == 200
    providers.issue("ATATT3new")
    assert call("atlassian", "GET", paths[0], basic("bot@a.example", "ATATT3new"))[0] == 200


def test_the_sandboxes_settings_lead_to_its_own_providers_alone(
    sandbox: Sandbox, environment: dict[str, str]
) -> None:
    endpoints = load().settings.endpoints
    for url in (endpoints.github, endpoints.slack, endpoints.atlassian):
        assert url.startswith(sandbox.endpoint_url + "/")


def test_without_settings_the_providers_are_the_real_ones(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KEYDECK_GITHUB_URL", "KEYDECK_SLACK_URL", "KEYDECK_ATLASSIAN_URL"):
        monkeypatch.delenv(name)
    endpoints = load().settings.endpoints
    assert (endpoints.github, endpoints.slack, endpoints.atlassian) == (GITHUB, SLACK, "")


@pytest.mark.parametrize("name", ["KEYDECK_GITHUB_URL", "KEYDECK_SLACK_URL", "KEYDECK_ATLASSIAN_URL"])
def test_a_provider_is_only_reached_over_https(
    name: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://provider.example/hidden-part")
    with pytest.raises(SettingsError, match=name) as refused:
        load()
    assert "hidden-part" not in str(refused.value)


def test_the_apps_secret_is_masked(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, keydeck: Callable[..., Any]
) -> None:
    monkeypatch.setenv("KEYDECK_GITHUB_CLIENT_ID", "Iv1.abc")
    monkeypatch.setenv("KEYDECK_GITHUB_CLIENT_SECRET", "s3cret-of-the-app")
    settings = load()
    assert settings.settings.endpoints.github_app
    shown = keydeck("settings")
    assert "Iv1.abc" in shown.stdout
    assert "s3cret-of-the-app" not in shown.stdout + repr(settings) + repr(settings.settings.endpoints)
