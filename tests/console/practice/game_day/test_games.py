"""Games: what the rules find, who connects again, and what the sandbox itself is judged by."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import make_url, text

from console.container import Container
from console.practice.game_day.game import Game
from console.practice.game_day.platform_team import PlatformTeam
from console.practice.game_day.player import concerns
from console.practice.game_day.runbook_work import ROLES, agreed, change_key
from console.practice.game_day.scenario import SCENARIOS, End, Scenario
from console.sandbox import access_keys
from console.sandbox.endpoint import ACCOUNT
from console.sandbox.postgres import OPERATOR, PLATFORM
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.installation import install
from crypto_core.incidents.model import Incident, IncidentScope, IncidentState, IncidentView
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.incidents.runbooks.runbook import Runbook
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.policy.least_privilege import least_privilege
from crypto_core.reencryption.plan import Selection, Verb

pytestmark = pytest.mark.deep

FAST = 5_000.0


@pytest.fixture(scope="module")
def grounds() -> Iterator[Sandbox]:
    """One sandbox for all games; each has a database and events of its own, and key and trail as at first."""
    with Sandbox.start(connections=40) as running:
        yield running


@pytest.fixture
def sandbox(grounds: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    """The grounds with a copy of the database, everything set back that a game before has changed."""
    name = f"game_{uuid4().hex[:12]}"
    admin = open_engine(_as(grounds.superuser_url, "postgres")).execution_options(
        isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE tokens OWNER {PLATFORM}"))
        connection.execute(text(f"GRANT CREATE ON DATABASE {name} TO {OPERATOR}"))
    platform_url, operator_url = (
        _as(url, name) for url in (grounds.platform_database_url, grounds.database_url)
    )
    monkeypatch.setattr(Sandbox, "platform_database_url", property(lambda _: platform_url))
    monkeypatch.setattr(Sandbox, "database_url", property(lambda _: operator_url))
    _set_back(grounds)
    environment = grounds.environment() | {"KEYDECK_EVENTS_FILE": str(tmp_path / "events.sqlite")}
    for variable in set(os.environ) - set(environment):
        monkeypatch.delenv(variable)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    with closing(Container(load().settings)) as container:
        install(container.engine)
    yield grounds
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def _set_back(grounds: Sandbox) -> None:
    grounds.control.clear()
    kms, key = grounds.client("kms", access_keys.DEPLOYMENT), grounds.world.current_key.arn
    kms.put_key_policy(
        KeyId=key, PolicyName="default", Policy=kms.get_key_policy(KeyId=grounds.world.old_key.arn)["Policy"]
    )
    for grant in kms.list_grants(KeyId=key)["Grants"]:
        kms.revoke_grant(KeyId=key, GrantId=grant["GrantId"])
    grounds.control.set_key_state(key, "Enabled")
    grounds.client("cloudtrail", access_keys.DEPLOYMENT).start_logging(Name="account-trail")


def _as(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda scenario: scenario.id)
def test_nothing_is_found_of_the_intruder_before_it_begins(sandbox: Sandbox, scenario: Scenario) -> None:
    with closing(Container(load().settings)) as container:
        now = datetime.now(UTC)
        container.services.event_puller.pull_events("s3", since=now - timedelta(days=7))
        examined = container.services.trail_rules.examine_events(now - timedelta(hours=26))
        assert [f.title for f in examined.findings if concerns(f, scenario)] == []


def test_a_game_that_nobody_answers_is_lost(sandbox: Sandbox) -> None:
    with Game(sandbox, SCENARIOS["insider"], pace=FAST) as game:
        game.begin(0)
        assert game.intruder.played.wait(120)
        score = game.finish(None)
    assert not score.reached
    assert {seen.end for seen in score.ends if seen.reached} == {End.PLATFORM_WORKS, End.NOTHING_DELETED}
    assert score.points == 0
    assert score.shut_out_seconds is None


def test_rewrapping_what_was_opened_is_not_enough_and_a_grant_left_lets_the_insider_in(
    sandbox: Sandbox,
) -> None:
    with Game(sandbox, SCENARIOS["insider"], pace=FAST) as game:
        game.begin(0)
        assert game.intruder.played.wait(120)
        with closing(Container(load().settings)) as container:
            on_call, key = sandbox.client("kms"), sandbox.world.current_key.arn
            grants = on_call.list_grants(KeyId=key)["Grants"]
            least = json.dumps(least_privilege(key, ROLES))
            change_key(container, KeyChange(ChangeKind.PUT_POLICY, key, policy=least))
            for grant in container.services.policies.read(key).grants:
                change_key(container, KeyChange(ChangeKind.REVOKE_GRANT, key, grant_id=grant.grant_id))
            # By the least that each role needs, nobody makes grants: here somebody may.
            policy = json.loads(on_call.get_key_policy(KeyId=key)["Policy"])
            deployment = f"arn:aws:iam::{ACCOUNT}:role/keydeck-deployment"
            policy["Statement"].append(
                {
                    "Sid": "Grants",
                    "Effect": "Allow",
                    "Principal": {"AWS": deployment},
                    "Action": "kms:CreateGrant",
                    "Resource": "*",
                }
            )
            on_call.put_key_policy(KeyId=key, Policy=json.dumps(policy))
            sandbox.client("kms", access_keys.DEPLOYMENT).create_grant(
                KeyId=key, GranteePrincipal=grants[0]["GranteePrincipal"], Operations=grants[0]["Operations"]
            )
            work = container.services.work
            refs = tuple(sorted(game.intruder.seals))
            plan = work.plan_reencryption(Verb.REWRAP, Selection(references=refs), key)
            work.run_plan(plan, agreed(plan))
        ends = {seen.end: seen.reached for seen in game.finish(None).ends}
    assert not ends[End.SHUT_OUT]
    assert not ends[End.TOKENS_SEALED_ANEW]


def test_the_platform_is_switched_to_an_incidents_new_key_and_owners_connect_again_once_tokens_are_dead(
    sandbox: Sandbox,
) -> None:
    with Game(sandbox, SCENARIOS["token-leak"], pace=FAST) as game:
        game.begin(0)
        assert game.intruder.played.wait(120)
        game.intruder.stop()
        team = PlatformTeam(game.platform, game.cut_off)
        try:
            team.play_along(())
            assert not game.referee.look_at(End.TOKENS_REPLACED, game.intruder).reached  # all are alive
            for tokens in game.intruder.tokens.values():
                sandbox.providers.revoke(tokens[-1].reveal())
            kms = sandbox.client("kms", access_keys.DEPLOYMENT)
            new_key = kms.create_key(Description="after the game")["KeyMetadata"]["Arn"]
            incident = Incident(
                1, "", IncidentState.OPEN, IncidentScope(), datetime.now(UTC), "omar", {"new_key": new_key}
            )
            book = Runbook("key-compromise", 1, "", SubjectKind.KEY, "", (), "00")
            for _ in game.intruder.tokens:
                team.play_along([IncidentView(incident, book, ())])
        finally:
            team.stop()
        for end in (End.TOKENS_DEAD, End.TOKENS_REPLACED):
            assert game.referee.look_at(end, game.intruder).reached, end
        use = kms.get_key_last_usage(KeyId=new_key)["KeyLastUsage"]
        assert use["Operation"] in ("GenerateDataKey", "Decrypt")
