"""Tokens of a real database are asked about and revoked: agreed to, journaled, proved, and never shown."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.provider_tokens import MARKER, Style
from console.sandbox.providers import CLIENT_ID, CLIENT_SECRET
from console.sandbox.providers_control import ProviderControl
from console.sandbox.world import World
from crypto_core.envelope import Format
from crypto_core.guard.consent import Consent
from crypto_core.guard.guarded_change import Outcome
from crypto_core.providers.answers import Liveness, RevocationPlan, RevocationResult
from crypto_core.providers.endpoints import Endpoints
from crypto_core.providers.liveness_checks import PollingLimits
from crypto_core.providers.messages import NEVER_ASKED
from crypto_core.providers.service import ProviderService
from crypto_core.values import errors
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.crypto_core.canary import chain_of
from tests.crypto_core.providers.conftest import Waited, asking_at
from tests.crypto_core.second_person import SecondPerson

HOSTILE = "[/red]\x1b]0;owned\x07\u202e" + "x" * 4_000
Make = Callable[..., ProviderService]


@pytest.fixture
def make(services: Container, providers: ProviderControl, waited: Waited) -> Make:
    """Make a service over the test's own database; what isn't named is as the settings have it."""

    def service(**changed: Any) -> ProviderService:
        endpoints = changed.pop("endpoints", services.settings.endpoints)
        asking = asking_at(services, endpoints)
        options = {"read_only": False, "clock": waited.clock, **changed}
        return ProviderService(asking, services.journal, **options)

    return service


def add_github(platform: Engine, *tokens: str) -> tuple[TokenRef, ...]:
    """Store tokens in plaintext, as connections of their own."""
    statement = text(
        "INSERT INTO gh_connection (id, org_id, user_id, access_token, token_type, installation_id, scopes, "
        "created_at) VALUES (:id, 'org-a', 'user-a', :token, 'oauth', 1, '[]', now())"
    )
    ids = [f"own-{number}" for number in range(len(tokens))]
    with platform.begin() as connection:
        connection.execute(statement, [{"id": i, "token": t} for i, t in zip(ids, tokens, strict=True)])
    return tuple(TokenRef("gh_connection", "access_token", i) for i in ids)


def github_token(prefix: str, number: int = 0) -> str:
    return f"{prefix}{MARKER}{number:025}"


def typed(plan: RevocationPlan) -> Consent:
    return Consent.typed(plan, plan.confirmation)


def revoked(service: ProviderService, *refs: TokenRef, **options: Any) -> RevocationResult:
    plan = service.plan_revocation(refs)
    return service.revoke(plan, typed(plan), **options)


def last_entries(services: Container) -> list[tuple[str, dict[str, Any]]]:
    return [
        (e.outcome, json.loads(e.detail)) for e in services.journal.entries() if e.action == "revoke tokens"
    ]


def test_a_host_that_refuses_one_token_after_another_is_left_alone(
    make: Make, platform: Engine, providers: ProviderControl
) -> None:
    refs = add_github(platform, *(github_token("ghp_", number) for number in range(60)))
    providers.fault("github", "throttled", 1_000, retry_after="400")
    service = make()
    question = service.question(refs)
    answers = service.ask(question, Consent.pressed(question))
    assert {answer.liveness for answer in answers} == {Liveness.UNKNOWN}
    assert len(providers.calls()) <= 3 + 8  # those under way beside the third refusal, and no more


def test_every_token_of_a_database_is_asked_about_or_told_why_not(
    make: Make, world: World, providers: ProviderControl
) -> None:
    service = make()
    refs = tuple(sorted(world.tokens))
    question = service.question(refs)
    assert providers.calls() == ()
    assert set(question.tokens) | {hand.ref for hand in question.not_asked} == set(refs)
    assert all(url.startswith("http://127.0.0.1:") for url in question.endpoints)
    not_asked = {hand.ref for hand in question.not_asked}
    unknown_before_opening = {Format.EMPTY, Format.UNRECOGNISED}
    for ref, token in world.tokens.items():
        api_without_email = token.style is Style.ATLASSIAN_API and ref.table == "jira_connection"
        refresh = ref.column == "refresh_token"
        assert (ref in not_asked) == (api_without_email or refresh or token.format in unknown_before_opening)

    dead = {ref for ref in question.tokens if world.tokens[ref].corruption is None and hash_of(ref) % 3 == 0}
    for ref in dead:
        providers.revoke(world.token_for(ref))
    steps: list[tuple[int, int]] = []
    answers = service.ask(
        question, Consent.pressed(question), progress=lambda done, total: steps.append((done, total))
    )
    assert [answer.ref for answer in answers] == list(question.tokens)
    for answer in answers:
        if world.tokens[answer.ref].corruption is not None:
            assert answer.liveness is Liveness.UNKNOWN
            assert "could not be opened" in answer.reason
        else:
            assert answer.liveness is (Liveness.DEAD if answer.ref in dead else Liveness.ALIVE)
            assert bool(answer.whose) == (answer.ref not in dead)
    assert {a.provider for a in answers} == {"github", "slack", "jira", "confluence"}
    assert max(steps) == (len(question.tokens), len(question.tokens))
    assert MARKER not in repr((question, answers))


def hash_of(ref: TokenRef) -> int:
    return sum(str(ref).encode())


def test_nothing_is_asked_without_a_consent_to_exactly_that(
    make: Make, platform: Engine, providers: ProviderControl
) -> None:
    service = make()
    one, two = add_github(platform, github_token("ghp_"), github_token("ghp_", 1))
    question = service.question((one,))
    with pytest.raises(errors.NotConfirmedError):
        service.ask(question, None)
    with pytest.raises(errors.NotConfirmedError):
        service.ask(question, Consent.pressed(service.question((two,))))
    for forged in (replace(question, tokens=(two,)), replace(question, endpoints=("evil.example",))):
        with pytest.raises(errors.NotConfirmedError):
            service.ask(forged, Consent.pressed(question))
    with pytest.raises(errors.NotConfirmedError):
        service.ask_of(one, Secret.of("ghp_new"), consent_given=False)
    with pytest.raises(errors.RowVanishedError):
        service.question((TokenRef("gh_connection", "access_token", "nobody"),))
    cancelled = Event()
    cancelled.set()
    with pytest.raises(errors.InterruptedRunError):
        service.ask(question, Consent.pressed(question), cancelled=cancelled)
    assert providers.calls() == ()


def test_nobody_is_asked_about_a_new_refresh_token(
    make: Make, world: World, providers: ProviderControl
) -> None:
    service = make()
    refresh = [ref for ref in world.tokens if ref.column == "refresh_token"]
    assert {ref.table for ref in refresh} == {"gh_connection", "jira_connection"}
    for ref in refresh:
        new = "ghr_" + "r" * 40 if ref.table == "gh_connection" else "eyJ" + "r" * 400
        assert service.never_asked(ref, Secret.of(new)) == NEVER_ASKED
        answer = service.ask_of(ref, Secret.of(new), consent_given=True)
        assert (answer.liveness, answer.reason) == (Liveness.UNKNOWN, NEVER_ASKED)
    assert providers.calls() == ()
    access = next(
        ref for ref in world.tokens if (ref.table, ref.column) == ("jira_connection", "access_token")
    )
    api = Secret.of("ATATT3x" + "a" * 180)
    assert "e-mail address, which the row does not have" in service.never_asked(access, api)
    assert service.never_asked(access, Secret.of("eyJ" + "r" * 400)) == ""


def test_a_new_token_is_asked_about_before_it_is_stored(
    make: Make, platform: Engine, providers: ProviderControl
) -> None:
    service = make()
    (ref,) = add_github(platform, "what is stored now does not matter")
    new = "ghp_freshlyIssued0000000000000000000000"
    assert service.ask_of(ref, Secret.of(new), consent_given=True).liveness is Liveness.DEAD
    providers.issue(new)
    providers.behave(name=HOSTILE)
    answer = service.ask_of(ref, Secret.of(new), consent_given=True)
    assert answer.liveness is Liveness.ALIVE
    assert answer.whose.isprintable()
    assert len(answer.whose) <= 100


def test_a_row_that_names_another_host_meanwhile_is_not_followed(make: Make, platform: Engine) -> None:
    service = make(endpoints=Endpoints())
    point = text("UPDATE confluence_connection SET base_url = :url")
    with platform.begin() as connection:
        ids = connection.scalars(
            text("SELECT id FROM confluence_connection WHERE access_token LIKE 'ATATT%'")
        )
        ref = TokenRef("confluence_connection", "access_token", str(min(ids)))
        connection.execute(point, {"url": "https://evil.example/wiki"})
    evil = service.question((ref,))
    assert (evil.tokens, evil.endpoints) == ((), ())
    assert "evil.example" in evil.not_asked[0].how
    with platform.begin() as connection:
        connection.execute(point, {"url": "https://keydeck-one.atlassian.net/wiki"})
    question = service.question((ref,))
    assert question.endpoints == ("keydeck-one.atlassian.net",)
    with platform.begin() as connection:
        connection.execute(point, {"url": "https://keydeck-two.atlassian.net/wiki"})
    (answer,) = service.ask(question, Consent.pressed(question))
    assert answer.liveness is Liveness.UNKNOWN
    assert "another host" in answer.reason


def test_tokens_are_revoked_proved_and_journaled_and_nothing_tells_them(
    make: Make,
    services: Container,
    world: World,
    platform: Engine,
    providers: ProviderControl,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    service = make()
    sealed = [r for r, t in world.tokens.items() if t.format is Format.V1 and t.corruption is None]
    by_style = {world.tokens[ref].style: ref for ref in sealed}
    styles = (Style.GITHUB_PERSONAL, Style.GITHUB_USER, Style.GITHUB_INSTALLATION, Style.SLACK_BOT)
    refs = [by_style[style] for style in (*styles, Style.ATLASSIAN_API, Style.ATLASSIAN_OAUTH)]
    refs += [world.dev_refs[0], by_style[Style.GITHUB_REFRESH]]
    plan = service.plan_revocation(tuple(refs))
    # A plan sends nothing.
    assert providers.calls() == ()
    assert set(plan.tokens) | {hand.ref for hand in plan.by_hand} == set(refs)
    assert {hand.ref for hand in plan.by_hand} == {
        by_style[Style.ATLASSIAN_API],
        by_style[Style.ATLASSIAN_OAUTH],
    }
    assert plan.by_provider == {"github": 5, "slack": 1}
    assert plan.calls == {"github": 2, "slack": 1}
    assert any("can't be undone" in warning for warning in plan.warnings)
    assert any("writes to the owner" in warning for warning in plan.warnings)
    with pytest.raises(errors.NotConfirmedError):
        service.revoke(plan, Consent.pressed(plan))
    with pytest.raises(errors.NotConfirmedError):
        service.revoke(plan, Consent.typed(plan, "5"))
    assert providers.calls() == ()

    steps: list[tuple[int, int]] = []
    result = service.revoke(plan, typed(plan), progress=lambda done, total: steps.append((done, total)))
    assert result.stopped_by == ""
    assert all(token.accepted for token in result.tokens)
    refresh = by_style[Style.GITHUB_REFRESH]
    for token in result.tokens:
        assert token.proved is (Liveness.UNKNOWN if token.ref == refresh else Liveness.DEAD)
    assert result.dead == 5
    assert {hand.ref for hand in result.by_hand} == {hand.ref for hand in plan.by_hand}
    assert steps[-1][1] == 12
    # GitHub's 202 came before the token was dead: it was asked again until it was.
    asked = Counter((call.method, call.path) for call in providers.calls() if call.provider == "github")
    assert asked["POST", "/credentials/revoke"] == 1
    assert asked["DELETE", "/installation/token"] == 1
    assert asked["GET", "/user"] > 4
    assert {c.presented for c in providers.calls() if c.path == "/credentials/revoke"} == {""}

    entries = last_entries(services)
    assert [outcome for outcome, _ in entries] == ["dry run", "refused", "refused", "started", "done"]
    assert entries[-1][1]["proved"] == {"dead": 5, "not known": 1}
    assert entries[-1][1]["accepted"] == 6
    assert services.journal.verify() is None
    told = repr((plan, result, entries)) + caplog.text
    assert MARKER not in told
    # What a token is found by in GitHub's audit log stays out of the journal, too.
    assert not [ref for ref in refs if world.token_for(ref)[:30] in told]


def test_a_token_that_was_replaced_since_the_plan_stays(
    make: Make, services: Container, platform: Engine, providers: ProviderControl
) -> None:
    service = make()
    one, two = add_github(platform, github_token("ghp_"), github_token("ghp_", 1))
    plan = service.plan_revocation((one, two))
    with platform.begin() as connection:
        change = text("UPDATE gh_connection SET access_token = :token WHERE id = :id")
        connection.execute(change, {"token": github_token("ghp_", 2), "id": two.row_id})
    with pytest.raises(errors.RefusedError, match=str(two)) as refused:
        service.revoke(plan, typed(plan))
    assert str(one) not in str(refused.value)
    assert MARKER not in chain_of(refused.value)
    assert providers.calls() == ()
    assert last_entries(services)[-1][0] == Outcome.REFUSED
    with pytest.raises(errors.RefusedError):
        service.plan_revocation(())


def test_where_a_second_person_is_wanted_nothing_is_sent_before(
    make: Make, services: Container, platform: Engine, providers: ProviderControl
) -> None:
    second = SecondPerson()
    service = make(approvals=second)
    refs = add_github(platform, github_token("ghp_"), github_token("ghp_", 1))
    plan = service.plan_revocation(refs)
    for _ in range(2):
        with pytest.raises(errors.ApprovalNeededError):
            service.revoke(plan, typed(plan))
    with pytest.raises(errors.NotConfirmedError):
        service.revoke(plan, None)
    assert providers.calls() == ()
    assert second.asked == [("revoke tokens", "Revoke 2 tokens at github", plan.digest)] * 2
    assert [outcome for outcome, _ in last_entries(services)] == ["dry run", *["refused"] * 3]
    assert second.shown[0]["does"] == ["Revokes 2 tokens at github, in 1 request."]
    assert second.shown[0]["tokens"] == [str(ref) for ref in refs]
    assert MARKER not in repr(second.shown)

    # What one plan was approved for is no approval of another.
    second.approved.add(plan.digest)
    other = service.plan_revocation(refs[:1])
    with pytest.raises(errors.ApprovalNeededError):
        service.revoke(other, typed(other))
    assert providers.calls() == ()
    assert service.revoke(plan, typed(plan)).dead == 2


def test_revoking_nothing_asks_no_second_person(make: Make, platform: Engine) -> None:
    second = SecondPerson()
    (ref,) = add_github(platform, "")
    service = make(approvals=second)
    plan = service.plan_revocation((ref,))
    assert (plan.tokens, len(plan.by_hand)) == ((), 1)
    service.revoke(plan, typed(plan))
    assert second.asked == []


def test_read_only_plans_and_refuses(make: Make, platform: Engine, providers: ProviderControl) -> None:
    service = make(read_only=True)
    (ref,) = add_github(platform, github_token("ghp_"))
    plan = service.plan_revocation((ref,))
    assert any("not journaled" in warning for warning in plan.warnings)
    with pytest.raises(errors.ReadOnlyError):
        service.revoke(plan, typed(plan))
    assert providers.calls() == ()


@pytest.mark.deep
def test_many_tokens_are_revoked_a_thousand_at_a_time_and_a_failed_batch_is_told_token_by_token(
    make: Make, services: Container, platform: Engine, providers: ProviderControl
) -> None:
    service = make()
    # Refresh tokens: they are revoked like others, and nobody can be asked about them.
    refs = sorted(add_github(platform, *(github_token("ghr_", number) for number in range(2_500))))
    plan = service.plan_revocation(tuple(refs))
    assert plan.calls == {"github": 3}
    assert plan.confirmation == "2500"
    providers.fault("github", "forbidden")
    result = service.revoke(plan, typed(plan))
    calls = [call for call in providers.calls() if call.path == "/credentials/revoke"]
    assert [(call.tokens, call.presented) for call in calls] == [(1_000, ""), (1_000, ""), (500, "")]
    assert [token.accepted for token in result.tokens] == [False] * 1_000 + [True] * 1_500
    assert all("HTTP 403" in token.reason for token in result.tokens[:1_000])
    outcome, detail = last_entries(services)[-1]
    assert outcome == Outcome.FAILED
    assert (detail["number"], detail["accepted"]) == (2_500, 1_500)

    providers.clear()
    providers.fault("github", "throttled", 3, retry_after="3000")
    result = revoked(service, *refs)
    assert len([call for call in providers.calls() if call.path == "/credentials/revoke"]) == 1
    assert not any(token.accepted for token in result.tokens)
    assert all(token.reason.startswith("not sent: GitHub takes 60") for token in result.tokens[1_000:])


def test_another_providers_tokens_are_not_sent(
    make: Make, platform: Engine, providers: ProviderControl
) -> None:
    service = make()
    refs = add_github(platform, f"xoxb-{MARKER}", f"ATATT3{MARKER}", github_token("ghp_"))
    providers.clear()
    question = service.question(refs)
    answers = service.ask(question, Consent.pressed(question))
    assert [("a token of" in a.reason, a.liveness is Liveness.UNKNOWN) for a in answers[:2]] == [
        (True,) * 2
    ] * 2
    plan = service.plan_revocation(refs)
    assert plan.tokens == refs[2:]
    assert [(h.ref, "its row says github" in h.how) for h in plan.by_hand] == [(r, True) for r in refs[:2]]
    with Secret.of(f"xoxb-{MARKER}") as entered:
        assert "a token of slack" in service.ask_of(refs[2], entered, consent_given=True).reason
    assert {call.path for call in providers.calls()} == {"/user"}
    assert len(providers.calls()) == 1


def test_an_oauth_apps_own_tokens_are_revoked_by_the_app(
    make: Make, services: Container, platform: Engine, providers: ProviderControl
) -> None:
    app = replace(services.settings.endpoints, github_client_id=CLIENT_ID, github_client_secret=CLIENT_SECRET)
    dead = github_token("gho_", 1)
    own, not_own = add_github(platform, github_token("gho_"), dead)
    providers.revoke(dead)
    service = make(endpoints=app)
    plan = service.plan_revocation((own, not_own))
    assert plan.calls == {"github": 2}
    result = service.revoke(plan, typed(plan))
    assert result.dead == 2
    paths = Counter(call.path for call in providers.calls() if call.method != "GET")
    # The one that the app does not know goes the way of leaked credentials.
    assert paths == {f"/applications/{CLIENT_ID}/token": 2, "/credentials/revoke": 1}

    wrong = make(endpoints=replace(app, github_client_secret="wrong"))
    (refused,) = revoked(wrong, own).tokens
    assert not refused.accepted
    assert "client id and secret" in refused.reason
    assert "wrong" not in repr(refused)


def test_a_token_that_its_provider_still_takes_is_not_called_dead(
    make: Make, platform: Engine, providers: ProviderControl
) -> None:
    providers.behave(delay=3_600)
    (ref,) = add_github(platform, github_token("ghp_"))
    (token,) = revoked(make(patience=PollingLimits(whole=0.0)), ref).tokens
    assert (token.accepted, token.proved) == (True, Liveness.ALIVE)

    # What was not answered may have been done: it is asked about until it is dead.
    providers.clear()
    providers.fault("github", "error", 3, path="/credentials/revoke")
    (token,) = revoked(make(patience=PollingLimits(whole=0.0)), ref).tokens
    assert (token.accepted, token.proved) == (False, Liveness.ALIVE)


def test_one_token_in_two_places_is_told_before_it_is_revoked(
    make: Make, platform: Engine, providers: ProviderControl
) -> None:
    shared = f"ATATT3xFfGF0{MARKER}shared=0123ABCD"
    with platform.begin() as connection:
        jira = connection.scalar(text("SELECT min(id) FROM jira_connection"))
        page = connection.scalar(text("SELECT min(id) FROM confluence_connection"))
        for table, row_id in (("jira_connection", jira), ("confluence_connection", page)):
            change = text(f"UPDATE {table} SET access_token = :token WHERE id = :id")
            connection.execute(change, {"token": shared, "id": row_id})
    refs = (
        TokenRef("jira_connection", "access_token", str(jira)),
        TokenRef("confluence_connection", "access_token", str(page)),
    )
    plan = make().plan_revocation(refs)
    assert plan.tokens == ()
    (warning,) = [warning for warning in plan.warnings if "One and the same token" in warning]
    assert all(str(ref) in warning for ref in refs)
    assert all("id.atlassian.com" in hand.how for hand in plan.by_hand)
    assert "shared" not in repr(plan)


def test_cancelled_it_says_what_was_sent_and_what_was_not(
    make: Make, services: Container, platform: Engine, providers: ProviderControl
) -> None:
    cancelled = Event()
    refs = sorted(add_github(platform, *(github_token("ghr_", number) for number in range(1_001))))
    result = revoked(make(), *refs, cancelled=cancelled, progress=lambda done, total: cancelled.set())
    assert result.stopped_by == "Cancelled."
    assert Counter(token.accepted for token in result.tokens) == {True: 1_000, False: 1}
    assert result.tokens[-1].reason == "not sent"
    assert len([call for call in providers.calls() if call.path == "/credentials/revoke"]) == 1
    assert last_entries(services)[-1][0] == Outcome.INTERRUPTED


def test_the_audit_logs_query_is_the_tokens_hash_and_not_the_token(
    make: Make, world: World, platform: Engine
) -> None:
    # GitHub's documentation gives the command: echo -n TOKEN | openssl dgst -sha256 -binary | base64
    (ref,) = add_github(platform, "ghp_KEYDECKDEMOknown")
    slack = world.plaintext_refs[0]
    corrupt = next(r for r in world.corrupt if r.table == "gh_connection")
    (query,) = make().hashed_queries((ref, slack, corrupt))
    assert query.ref == ref
    assert query.query == 'hashed_token:"u2MoUfHLRy/bVZh+CtTfSSNIghVw7StlPVl0GqYgwwU="'
