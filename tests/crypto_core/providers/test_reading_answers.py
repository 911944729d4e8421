"""What each provider's answer says of a token, and what says neither: pure, answer by answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from crypto_core.providers.answers import Liveness
from crypto_core.providers.builtin import atlassian, github, slack
from crypto_core.providers.endpoints import Endpoints
from crypto_core.providers.messages import ProviderAnswer, Request, Target
from crypto_core.providers.registry import provider_of, question_of
from crypto_core.values.references import TokenRef

ALIVE, DEAD, UNKNOWN = Liveness.ALIVE, Liveness.DEAD, Liveness.UNKNOWN
REF = TokenRef("t", "c", "1")
GITHUB = Target(REF, "github", "https://api.github.com")
SLACK = Target(REF, "slack", "https://slack.com")
JIRA = Target(REF, "jira", "https://a.atlassian.net", "bot@a.example")
CONFLUENCE = Target(REF, "confluence", "https://a.atlassian.net", "bot@a.example")
OAUTH = Target(REF, "jira", "https://api.atlassian.com")
HOSTILE = "[/red]\x1b]0;owned\x07\u202e\u2028" + "x" * 5_000
FAILED = {"x-seraph-loginreason": "AUTHENTICATED_FAILED"}
DENIED = {"x-seraph-loginreason": "AUTHENTICATION_DENIED"}
TARGETS = (GITHUB, SLACK, JIRA, CONFLUENCE, OAUTH)
NO_ANSWERS = ((500, ""), (429, ""), (302, ""), (200, "[" * 100_000))


@pytest.mark.parametrize(
    ("target", "token", "status", "document", "headers", "liveness"),
    [
        (GITHUB, "ghp_1", 200, {"login": "octo"}, {}, ALIVE),
        (GITHUB, "ghp_1", 401, {"message": "Bad credentials"}, {}, DEAD),
        (GITHUB, "ghs_1", 403, {"message": "Resource not accessible by integration"}, {}, ALIVE),
        (GITHUB, "ghs_1", 401, {"message": "Bad credentials"}, {}, DEAD),
        (GITHUB, "ghp_1", 403, {"message": "Resource not accessible"}, {}, UNKNOWN),
        (GITHUB, "ghs_1", 403, {"message": "API rate limit exceeded"}, {}, UNKNOWN),
        (GITHUB, "ghs_1", 403, {"message": "wait"}, {"x-ratelimit-remaining": "0"}, UNKNOWN),
        # What stands before GitHub speaks HTML, and says nothing of the token.
        (GITHUB, "ghp_1", 401, "<html>sign in to the proxy</html>", {}, UNKNOWN),
        (GITHUB, "ghs_1", 403, "<html>blocked</html>", {}, UNKNOWN),
        (GITHUB, "ghp_1", 200, {}, {}, UNKNOWN),
        (GITHUB, "ghp_1", 200, [], {}, UNKNOWN),
        (GITHUB, "ghp_1", 404, {"message": "Not Found"}, {}, UNKNOWN),
        (SLACK, "xoxb-1", 200, {"ok": True, "user": "bot", "team": "T"}, {}, ALIVE),
        *((SLACK, "xoxb-1", 200, {"ok": False, "error": e}, {}, DEAD) for e in sorted(slack._DEAD)),
        (SLACK, "xoxb-1", 200, {"ok": False, "error": "internal_error"}, {}, UNKNOWN),
        (SLACK, "xoxb-1", 200, {"ok": False}, {}, UNKNOWN),
        (SLACK, "xoxb-1", 200, {"ok": "true"}, {}, UNKNOWN),
        (SLACK, "xoxb-1", 401, {"ok": False, "error": "invalid_auth"}, {}, UNKNOWN),
        (JIRA, "ATATT3x", 200, {"accountId": "5:x", "displayName": "Bot"}, {}, ALIVE),
        (JIRA, "ATATT3x", 200, {"accountId": "5:x"}, FAILED, DEAD),
        (JIRA, "ATATT3x", 200, {"displayName": "Bot"}, {}, UNKNOWN),
        (JIRA, "ATATT3x", 401, "Client must be authenticated to access this resource.", FAILED, DEAD),
        (JIRA, "ATATT3x", 401, "Client must be authenticated to access this resource.", {}, DEAD),
        (JIRA, "ATATT3x", 401, "<html>proxy</html>", {}, UNKNOWN),
        (JIRA, "ATATT3x", 403, {"message": "CAPTCHA"}, DENIED, UNKNOWN),
        (CONFLUENCE, "ATATT3x", 200, {"accountId": "5:x", "type": "known"}, {}, ALIVE),
        (CONFLUENCE, "ATATT3x", 200, {"accountId": "5:x", "type": "anonymous"}, {}, UNKNOWN),
        (CONFLUENCE, "ATATT3x", 200, {"type": "anonymous"}, FAILED, DEAD),
        (OAUTH, "eyJ.a.b", 200, [{"name": "Site"}], {}, ALIVE),
        (OAUTH, "eyJ.a.b", 401, {"code": 401, "message": "Unauthorized"}, {}, DEAD),
        (OAUTH, "eyJ.a.b", 401, "<html></html>", {}, UNKNOWN),
        (OAUTH, "eyJ.a.b", 200, {"name": "no list"}, {}, UNKNOWN),
        *((one, "t", *answer, {}, UNKNOWN) for one in TARGETS for answer in NO_ANSWERS),
    ],
)
def test_only_the_providers_own_word_is_taken(
    target: Target, token: str, status: int, document: Any, headers: Mapping[str, str], liveness: Liveness
) -> None:
    body = document if isinstance(document, str) else json.dumps(document)
    said = provider_of(target).said(target, token, ProviderAnswer(status, headers, body.encode()))
    assert said.liveness is liveness


@pytest.mark.parametrize(
    ("target", "token", "status", "document"),
    [
        (GITHUB, "ghp_1", 200, {"login": HOSTILE}),
        (GITHUB, "ghp_1", 401, {"message": HOSTILE}),
        (GITHUB, "ghp_1", 404, {"message": HOSTILE}),
        (SLACK, "xoxb-1", 200, {"ok": True, "user": HOSTILE, "team": HOSTILE}),
        (SLACK, "xoxb-1", 200, {"ok": True, "user": {"a": [HOSTILE]}, "team": 7}),
        (SLACK, "xoxb-1", 200, {"ok": False, "error": HOSTILE}),
        (JIRA, "ATATT3", 200, {"accountId": "1", "displayName": HOSTILE}),
        (CONFLUENCE, "ATATT3", 200, {"accountId": HOSTILE, "type": "known"}),
        (OAUTH, "eyJ", 200, [{"name": HOSTILE}, None, {"name": 3}, "x"]),
    ],
)
def test_hostile_answers_are_cleaned(target: Target, token: str, status: int, document: Any) -> None:
    said = provider_of(target).said(target, token, ProviderAnswer(status, {}, json.dumps(document).encode()))
    for text in (said.reason, said.whose):
        assert text.isprintable()
        assert len(text) < 300


def test_what_can_only_be_used_is_not_asked_about() -> None:
    refresh = ((GITHUB, "ghr_1"), (SLACK, "xoxe-1-x"), (SLACK, "xoxr-1"))
    for target, token in (*refresh, (OAUTH, "ATATT3x"), (JIRA, "eyJ")):
        assert isinstance(question_of(target, token), str)


@pytest.mark.parametrize(
    ("target", "token", "method", "url"),
    [
        (GITHUB, "ghp_1", "GET", "https://api.github.com/user"),
        (SLACK, "xoxb-1", "POST", "https://slack.com/api/auth.test"),
        (JIRA, "ATATT3", "GET", "https://a.atlassian.net/rest/api/3/myself"),
        (CONFLUENCE, "ATATT3", "GET", "https://a.atlassian.net/wiki/rest/api/user/current"),
        (OAUTH, "eyJ", "GET", "https://api.atlassian.com/oauth/token/accessible-resources"),
    ],
)
def test_each_is_asked_as_its_provider_says(target: Target, token: str, method: str, url: str) -> None:
    request = provider_of(target).question(target, token)
    assert isinstance(request, Request)
    assert (request.method, request.url) == (method, url)
    assert "Authorization" in request.headers
    assert token not in repr(request)


def test_revocations_of_leaked_credentials_are_not_authenticated() -> None:
    request = github.LEAKED_CREDENTIALS.request(GITHUB.base, ["ghp_1", "ghp_2"], Endpoints())
    assert (request.method, request.url) == ("POST", "https://api.github.com/credentials/revoke")
    assert "authorization" not in {name.lower() for name in request.headers}
    assert json.loads(request.content) == {"credentials": ["ghp_1", "ghp_2"]}
    assert "ghp_" not in repr(request)


def test_github_tokens_are_revoked_by_their_kind() -> None:
    plain, app = Endpoints(), Endpoints(github_client_id="i", github_client_secret="s")
    for kind in ("ghp_", "github_pat_", "gho_", "ghu_", "ghr_"):
        assert github.revocation(kind + "1", plain) is github.LEAKED_CREDENTIALS
    assert github.revocation("ghs_1", plain) is github.BY_ITSELF
    assert github.revocation("gho_1", app) is github.BY_APP
    assert "no request that revokes" in str(github.revocation("0123456789abcdef", plain))
    assert "s3cret" not in repr(Endpoints(github_client_secret="s3cret"))


@pytest.mark.parametrize(
    ("document", "accepted"),
    [
        ({"ok": True, "revoked": True}, True),
        ({"ok": True, "revoked": False}, False),
        ({"ok": True}, False),
        ({"ok": False, "error": "token_revoked"}, False),
    ],
)
def test_slack_has_revoked_only_what_it_says_it_has(document: Any, accepted: bool) -> None:
    took = slack.AUTH_REVOKE.accepted(ProviderAnswer(200, {}, json.dumps(document).encode()))
    assert took is not None
    assert took.accepted is accepted


def test_atlassian_tokens_are_left_to_a_person_who_is_told_where() -> None:
    api = atlassian.by_hand("ATATT3x")
    assert "https://id.atlassian.com/manage-profile/security/api-tokens" in api
    assert "DELETE https://api.atlassian.com/users/{account_id}/manage/api-tokens/{tokenId}" in api
    assert "https://id.atlassian.com/manage-profile/apps" in atlassian.by_hand("eyJ")
