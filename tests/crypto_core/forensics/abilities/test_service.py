"""What Keydeck says a token can do is what the providers' doubles hold to be true, for all kinds of them."""

from __future__ import annotations

import logging
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.provider_abilities import truth_of, visible
from console.sandbox.provider_tokens import MARKER, Style
from console.sandbox.providers_control import ProviderControl
from console.sandbox.world import World
from crypto_core.forensics.abilities.service import AbilityAnswers, AbilityBook, AbilityService
from crypto_core.guard.consent import Consent
from crypto_core.providers.abilities import Ability, TokenAbilities
from crypto_core.providers.answers import Liveness
from crypto_core.providers.endpoints import Endpoints
from crypto_core.values.errors import InterruptedRunError, NotConfirmedError
from crypto_core.values.references import TokenRef
from tests.crypto_core.providers.conftest import Waited, asking_at
from tests.crypto_core.providers.test_service import add_github, github_token

HOSTILE = "[/red]\x1b]0;owned\x07\u202e" + "x" * 4_000
CLASSIC, PAT, USER, INSTALLATION = "ghp_", "github_pat_", "ghu_", "ghs_"
Make = Callable[..., AbilityService]


@pytest.fixture
def make(services: Container, waited: Waited, providers: ProviderControl, tmp_path: Path) -> Make:
    """Make a service over the test's own database, with the answers in a file of the test's own."""

    def service(endpoints: Endpoints | None = None) -> AbilityService:
        asking = asking_at(services, endpoints or services.settings.endpoints)
        return AbilityService(asking, AbilityBook(tmp_path / "abilities.sqlite"), clock=waited.clock)

    return service


def asked(service: AbilityService, *refs: TokenRef, **options: Any) -> AbilityAnswers:
    request = service.question(refs, **options)
    return service.ask(request, Consent.pressed(request))


def answer_about(service: AbilityService, ref: TokenRef) -> TokenAbilities:
    (answer,) = asked(service, ref, max_age=timedelta(0)).answers
    return answer


def test_every_kind_of_token_is_told_as_its_provider_knows_it(
    make: Make, platform: Engine, world: World, providers: ProviderControl, tmp_path: Path
) -> None:
    service = make()
    tokens = [
        github_token(prefix, n) for prefix in (CLASSIC, "gho_", PAT, USER, INSTALLATION) for n in range(6)
    ]
    of = dict(zip(add_github(platform, *tokens), tokens, strict=True))
    of |= {
        ref: world.token_for(ref)
        for ref, token in sorted(world.tokens.items())
        if token.corruption is None
        and ref.table in ("jira_connection", "slack_connection", "confluence_connection")
    }
    answers = {one.ref: one for one in asked(service, *of).answers}
    checked = dict.fromkeys((*_TELLERS, "dead"), 0)
    for ref, answer in answers.items():
        token = of[ref]
        assert answer.liveness is Liveness.ALIVE, (ref, answer.reason)
        kind = next(kind for kind in _TELLERS if token.startswith(kind))
        _TELLERS[kind](answer, token)
        checked[kind] += 1
    del checked["dead"]
    assert all(checked.values()), checked
    # No token is in an address, and what was kept holds none.
    seen = providers.calls()
    assert not any(token in call.path + call.query for token in tokens for call in seen)
    assert MARKER not in repr([(call.path, call.query) for call in seen])
    kept = tmp_path / "abilities.sqlite"
    assert MARKER.encode() not in kept.read_bytes()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    # All of it is read back as it was.
    assert dict(service.kept(list(of))) == answers


def _classic(answer: TokenAbilities, token: str) -> None:
    truth, seen = truth_of(token), visible(token)
    assert answer.scopes == truth.scopes
    _counted(answer, token, sso=bool(truth.hidden))
    assert answer.expires == (truth.expires if token.startswith("ghp_") else None)
    assert (answer.lasts == "never") == (answer.expires is None)
    listed = set(truth.scopes) & {"user", "read:org", "admin:org"}
    assert answer.places_whole == bool(listed and not truth.hidden)
    if listed:
        assert set(truth.organisations) <= set(answer.places)
    whole = len(seen) <= 1_000 and not truth.hidden
    to_code = {"repo", "public_repo"} & set(truth.scopes)
    true_admin = "admin:org" in truth.scopes or bool(to_code and any(one.admin for one in seen))
    assert answer.admin == (true_admin if true_admin or whole or not to_code else None)
    closed = any(one.visibility != "public" for one in seen)
    if "repo" in truth.scopes:
        assert answer.reads_private in ((True,) if closed else (False, None, True))
    if not truth.scopes:
        assert (answer.writes, answer.admin, answer.reads_private) == (False, False, False)


def _fine_grained(answer: TokenAbilities, token: str) -> None:
    _counted(answer, token, sso=bool(truth_of(token).hidden))
    assert answer.scopes is None
    assert answer.permissions == ("metadata=read",)
    assert answer.writes is answer.admin is None
    assert {Ability.PERMISSIONS, Ability.WRITES, Ability.ADMIN} <= {one.what for one in answer.not_known}
    assert answer.expires == truth_of(token).expires
    assert not answer.places_whole


def _of_user(answer: TokenAbilities, token: str) -> None:
    truth = truth_of(token)
    _counted(answer, token, sso=bool(truth.hidden))
    assert {f"{name}={level}" for name, level in truth.app_permissions} <= set(answer.permissions)
    assert answer.writes == (("contents", "write") in truth.app_permissions)
    assert answer.expires is None
    assert "8 hours" in answer.why_not(Ability.EXPIRY)


def _of_installation(answer: TokenAbilities, token: str) -> None:
    _counted(answer, token, sso=False)
    assert answer.writes is answer.admin is None
    assert answer.expires is not None


def _counted(answer: TokenAbilities, token: str, *, sso: bool) -> None:
    seen, found = visible(token), answer.repositories
    assert found is not None
    read = seen[:1_000]
    kinds = [sum(one.visibility == kind for one in read) for kind in ("public", "private", "internal")]
    assert [found.public, found.private, found.internal] == kinds
    assert found.whole == (len(seen) <= 1_000 and not sso)
    assert str(found).startswith("at least") != found.whole
    if not token.startswith("ghs_"):
        assert found.writable == sum(one.push for one in read)
        assert found.administered == sum(one.admin for one in read)


def _slack(answer: TokenAbilities, token: str) -> None:
    truth = truth_of(token)
    assert answer.scopes == truth.slack_scopes
    assert answer.writes == bool({"chat:write", "admin", "incoming-webhook"} & set(truth.slack_scopes))
    assert answer.reads_private == bool({"channels:history", "users:read", "admin"} & set(truth.slack_scopes))
    if "admin" in truth.slack_scopes:
        assert answer.admin is True
    elif "users:read" in truth.slack_scopes:
        assert answer.admin is truth.slack_admin
    else:
        assert (answer.admin, answer.why_not(Ability.ADMIN)) == (None, "users:read missing")
    assert answer.places == (("organisation E0DEMO",) if truth.everywhere else ("Keydeck Demo",))
    assert answer.places_whole is not truth.everywhere
    assert answer.lasts == "never"


def _oauth(answer: TokenAbilities, token: str) -> None:
    truth = truth_of(token)
    assert (answer.scopes, answer.places, answer.places_whole) == (truth.site_scopes, truth.sites, True)
    assert answer.writes == ("write:jira-work" in truth.site_scopes)
    assert answer.reads_private is True
    assert answer.admin is (None if "manage:jira-configuration" in truth.site_scopes else False)
    assert answer.expires is None


def _api(answer: TokenAbilities, token: str) -> None:
    truth = truth_of(token)
    assert answer.scopes is None
    assert not answer.places_whole
    if answer.provider == "confluence":
        assert answer.admin is truth.administers_wiki
        assert answer.projects == (truth.spaces if truth.spaces <= 250 else None)
        assert answer.writes == (True if truth.administers_wiki else False if truth.spaces == 0 else None)
        return
    assert answer.admin is ("ADMINISTER" in truth.permissions)
    assert answer.writes is ("EDIT_ISSUES" in truth.permissions or truth.projects > 0)
    assert answer.projects == truth.projects


_TELLERS: dict[str, Callable[[TokenAbilities, str], None]] = {
    "ghp_": _classic,
    "gho_": _classic,
    "github_pat_": _fine_grained,
    "ghu_": _of_user,
    "ghs_": _of_installation,
    "xoxb-": _slack,
    "eyJ": _oauth,
    "ATATT3": _api,
}


def test_nothing_is_asked_without_a_consent_to_exactly_that(
    make: Make, platform: Engine, providers: ProviderControl
) -> None:
    service = make()
    one, two = add_github(platform, github_token(CLASSIC), github_token(CLASSIC, 1))
    request = service.question((one,))
    for consent in (None, Consent.pressed(service.question((two,)))):
        with pytest.raises(NotConfirmedError):
            service.ask(request, consent)
    for forged in (replace(request, tokens=(two,)), replace(request, endpoints=("evil.example",))):
        with pytest.raises(NotConfirmedError):
            service.ask(forged, Consent.pressed(request))
    assert providers.calls() == ()
    assert service.kept((one, two)) == {}


def test_a_dead_token_is_asked_nothing_more(make: Make, platform: Engine, providers: ProviderControl) -> None:
    token = github_token(CLASSIC, 7)
    (ref,) = add_github(platform, token)
    providers.revoke(token)
    answer = answer_about(make(), ref)
    assert answer.dead
    assert [call.path for call in providers.calls()] == ["/user"]


def test_a_stopped_run_goes_on_where_it_was_and_young_answers_are_not_asked_again(
    make: Make, platform: Engine, providers: ProviderControl
) -> None:
    tokens = [github_token(INSTALLATION, number) for number in range(40)]
    refs = add_github(platform, *tokens)
    service, cancelled = make(), Event()
    request = service.question(refs)

    def stop(done: int, total: int) -> None:
        assert total == len(refs)
        if done >= 10:
            cancelled.set()

    with pytest.raises(InterruptedRunError):
        service.ask(request, Consent.pressed(request), progress=stop, cancelled=cancelled)
    again = make()
    kept = set(again.kept(refs))
    assert 10 <= len(kept) < len(refs)
    rest = again.question(refs)
    assert set(rest.tokens) == set(refs) - kept
    assert {one.ref for one in rest.fresh} == kept
    before = len(providers.calls())
    found = again.ask(rest, Consent.pressed(rest))
    assert [one.ref for one in found.answers] == sorted(refs)
    users = [call for call in providers.calls()[before:] if call.path == "/user"]
    assert len(users) == len(rest.tokens)
    assert again.question(refs).tokens == ()
    assert set(again.question(refs, max_age=timedelta(0)).tokens) == set(refs)


def test_an_answer_is_not_shown_for_a_token_that_took_its_place(
    make: Make, platform: Engine, tmp_path: Path
) -> None:
    (ref,) = add_github(platform, github_token(INSTALLATION))
    service = make()
    answer = answer_about(service, ref)
    with closing(sqlite3.connect(tmp_path / "abilities.sqlite")) as book, book:
        assert book.execute("SELECT token FROM answer").fetchall() == [("",)]
        book.execute("UPDATE answer SET token = 'as an earlier version wrote it'")
    assert service.kept((ref,)) == {ref: answer}
    with platform.begin() as connection:
        connection.execute(
            text("UPDATE gh_connection SET access_token = :token WHERE id = :id"),
            {"token": github_token(INSTALLATION, 9), "id": ref.row_id},
        )
    assert service.kept((ref,)) == {}
    assert service.question((ref,)).tokens == (ref,)


@pytest.mark.parametrize("kind", ["error", "garbage", "huge", "redirect", "forbidden", "reset", "throttled"])
def test_what_is_not_answered_is_not_known_and_asked_again(
    kind: str, make: Make, platform: Engine, providers: ProviderControl
) -> None:
    (ref,) = add_github(platform, github_token(INSTALLATION, 3))
    service = make()
    providers.fault("github", kind, 5, path="/installation/repositories", retry_after="400")
    answer = answer_about(service, ref)
    assert answer.liveness is Liveness.ALIVE
    assert answer.repositories is None
    assert answer.why_not(Ability.REPOSITORIES)
    assert not any(call.provider == "elsewhere" for call in providers.calls())
    assert not answer.whole
    assert service.question((ref,)).tokens == (ref,)
    providers.fault("github", kind, 5, path="/user", retry_after="400")
    silent = answer_about(service, ref)
    assert silent.liveness is Liveness.UNKNOWN
    # Nobody's silence takes back what was said before.
    assert service.kept((ref,))[ref] == answer


def test_no_more_is_asked_of_a_provider_that_asks_to_wait(
    make: Make, platform: Engine, providers: ProviderControl, waited: Waited
) -> None:
    (ref,) = add_github(platform, github_token(CLASSIC, 3))
    providers.fault("github", "throttled", 1, path="/user/repos", retry_after="7")
    assert answer_about(make(), ref).repositories is not None
    assert 7.0 in waited.asked


def test_a_host_that_refuses_one_token_after_another_is_left_alone_until_the_next_run(
    make: Make, platform: Engine, providers: ProviderControl
) -> None:
    refs = add_github(platform, *(github_token(CLASSIC, number) for number in range(60)))
    providers.fault("github", "throttled", 1_000, retry_after="400")
    service = make()
    found = asked(service, *refs)
    assert {one.liveness for one in found.answers} == {Liveness.UNKNOWN}
    assert len(found.unanswered) == len(refs)
    # Those that were under way beside the third refusal, and no more.
    assert len(providers.calls()) <= 3 + 8
    assert any(one.reason == "not asked: asked too often" for one in found.answers)
    assert set(service.question(refs).tokens) == set(refs)


def test_hostile_names_are_cleaned_and_nothing_is_logged(
    make: Make, world: World, providers: ProviderControl, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    providers.behave(name=HOSTILE)
    refs = [
        ref
        for ref, token in sorted(world.tokens.items())
        if token.style in (Style.SLACK_BOT, Style.ATLASSIAN_OAUTH) and token.corruption is None
    ][:6]
    found = asked(make(), *refs)
    shown = repr([one.as_json() for one in found.answers]) + "".join(
        line for one in found.answers for line in one.lines()
    )
    assert not set("\x1b\x07\u202e") & set(shown)
    assert MARKER not in shown + caplog.text + repr(found)
