"""Answers of any shape: what isn't understood is not known, never a no; every text that is kept is clean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto_core.providers.abilities import Ability, AbilityDraft, TokenAbilities, ask_further
from crypto_core.providers.answers import Liveness
from crypto_core.providers.messages import ProviderAnswer, Request, Said, Target
from crypto_core.providers.registry import provider_of
from crypto_core.values.json_records import record_of
from crypto_core.values.references import TokenRef

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
REF = TokenRef("t", "c", "1")
WORST = "[/red]\x1b[31m\x1b]0;owned\x07\u202e\u2028\ud83d" + "x" * 2_000
TARGETS = {
    "ghp_1": Target(REF, "github", "https://api.github.com"),
    "ghs_1": Target(REF, "github", "https://api.github.com"),
    "ghu_1": Target(REF, "github", "https://api.github.com"),
    "github_pat_1": Target(REF, "github", "https://api.github.com"),
    "xoxb-1": Target(REF, "slack", "https://slack.com"),
    "eyJ.e30.x": Target(REF, "jira", "https://api.atlassian.com"),
    "ATATT3x": Target(REF, "jira", "https://a.atlassian.net", "bot@a.example"),
    "ATATT3y": Target(REF, "confluence", "https://a.atlassian.net", "bot@a.example"),
}
KEYS = (
    *(
        "login",
        "private",
        "visibility",
        "permissions",
        "repositories",
        "total_count",
        "owner",
        "type",
        "admin",
    ),
    *(
        "installations",
        "account",
        "ok",
        "user",
        "user_id",
        "team",
        "team_id",
        "is_admin",
        "is_owner",
        "error",
    ),
    *("enterprise_id", "is_enterprise_install", "scopes", "url", "name", "ADMINISTER", "havePermission"),
    *("is_primary_owner", "needed", "total", "results", "_links", "next", "id", "operations", "message"),
    *("operation", "targetType"),
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 10**12)
    | st.sampled_from(["", WORST, "repo", "User", "administer"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        (
            *("x-oauth-scopes", "link", "x-github-sso", "x-accepted-github-permissions"),
            *("github-authentication-token-expiration", "x-ratelimit-remaining", "x-ratelimit-reset"),
        )
    ),
    st.sampled_from(
        ["", WORST, 'rel="next"', "partial-results; organizations=1", "repo, admin:org", "0", "9" * 40]
    ),
    max_size=4,
)


def told(token: str, first: ProviderAnswer, rest: Iterator[ProviderAnswer]) -> TokenAbilities:
    """What is made of a token's answers; it lives, whatever they say."""
    target = TARGETS[token]
    questions = provider_of(target).abilities
    assert questions is not None
    draft = AbilityDraft(target, token, NOW)

    def send(request: Request) -> ProviderAnswer:
        assert token not in request.url
        assert request.url.startswith(target.base + "/")
        return next(rest)

    questions.first(draft, first)
    ask_further(questions, draft, send)
    return draft.finished(Said(Liveness.ALIVE, "taken", ""))


def answer(status: int, document: Any, headers: dict[str, str] | None = None) -> ProviderAnswer:
    return ProviderAnswer(status, headers or {}, json.dumps(document).encode())


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    token=st.sampled_from(sorted(TARGETS)),
    answers=st.lists(
        st.tuples(st.sampled_from([200, 200, 403, 404, 429, 500]), VALUES, HEADERS), min_size=1, max_size=4
    ),
)
def test_no_answer_breaks_the_reading_and_what_is_kept_is_clean(
    token: str, answers: list[tuple[int, Any, dict[str, str]]]
) -> None:
    replies = [answer(status, document, headers) for status, document, headers in answers]

    def endless() -> Iterator[ProviderAnswer]:
        while True:
            yield from replies

    found = told(token, replies[0], endless())
    shown = repr(found.as_json()) + "".join(found.lines())
    assert not set("\x1b\x07\u202e\u2028\ud83d") & set(shown)
    assert len(shown) < 200_000
    assert record_of(TokenAbilities, json.loads(json.dumps(found.as_json())), ref=REF) == found
    # What isn't known says why.
    missing = {one.what for one in found.not_known}
    for ability, value in (
        (Ability.ADMIN, found.admin),
        (Ability.WRITES, found.writes),
        (Ability.READS_PRIVATE, found.reads_private),
    ):
        assert value is not None or ability in missing, (ability, token)
    assert found.lasts or Ability.EXPIRY in missing


@pytest.mark.parametrize("token", sorted(TARGETS))
@pytest.mark.parametrize("nonsense", [{}, [], None, "text", 3, {"ok": True}, {"message": WORST}])
def test_nonsense_is_never_taken_for_a_no(token: str, nonsense: Any) -> None:
    def endless() -> Iterator[ProviderAnswer]:
        while True:
            yield answer(200, nonsense)

    found = told(token, answer(200, nonsense), endless())
    if isinstance(nonsense, list):
        return  # an empty list is a list
    assert found.admin is None
    assert found.writes is None
    assert found.reads_private is None


def test_more_than_is_read_is_at_least_so_many() -> None:
    page = answer(200, [{"private": True}] * 100, {"link": '<https://evil.example>; rel="next"'})

    def endless() -> Iterator[ProviderAnswer]:
        while True:
            yield page

    found = told("ghp_1", answer(200, {}, {"x-oauth-scopes": "repo"}), endless())
    assert str(found.repositories) == "at least 0 public, 1,000 private"


def test_an_organisation_without_a_name_is_no_place() -> None:
    found = told("xoxb-1", answer(200, {"ok": True, "team": "T", "is_enterprise_install": True}), iter(()))
    assert (found.places, found.places_whole) == ((), False)
    assert "whole organisation" in found.why_not(Ability.PLACES)


def test_an_expiry_is_read_in_utc() -> None:
    headers = {"x-oauth-scopes": "", "github-authentication-token-expiration": "2027-06-13 09:52:00 -0700"}
    found = told("ghp_1", answer(200, {}, headers), iter([answer(200, []), answer(403, {"message": "no"})]))
    assert found.expires == datetime(2027, 6, 13, 16, 52, tzinfo=UTC)
    assert found.lasts == "2027-06-13 16:52 UTC"
