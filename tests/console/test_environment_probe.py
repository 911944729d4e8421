"""What the header is told: both sides at once, never late, and what renews credentials that have run out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from sqlalchemy import make_url

from console import environment_probe as module
from console.container import Container
from console.environment_probe import ASK_AGAIN_SECONDS, FRESH_SECONDS, EnvironmentProbe, alias_of
from console.sandbox.endpoint import ACCOUNT, Denial, EndpointControl, Fault
from console.sandbox.leftovers import claim_folder
from console.sandbox.postgres import OPERATOR, Postgres
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.values.errors import CredentialsExpiredError, KmsError
from tests.clock import Clock

OLD, NEW = "AKIAKEYDECKOLD000002", "AKIAKEYDECKNEW000002"


@pytest.fixture
def control(sandbox: Sandbox, environment: dict[str, str]) -> Iterator[EndpointControl]:
    yield sandbox.control
    sandbox.control.clear()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def surveyor(services: Container, clock: Clock) -> EnvironmentProbe:
    """A surveyor whose time stands still between the test's steps."""
    return EnvironmentProbe(services.settings, services.engine, services.kms, dict, clock=clock)


@pytest.fixture
def profile(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., None]:
    """The console works with profile ops; writes an access key for it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "ops")

    def has(access_key: str, token: str) -> None:
        lines = [
            f"aws_access_key_id = {access_key}",
            "aws_secret_access_key = s",
            f"aws_session_token = {token}",
        ]
        file.write_text("\n".join(["[ops]", *lines, ""]))

    return has


def sts_calls(control: EndpointControl) -> int:
    return int(control.stats().calls.get("sts:GetCallerIdentity", 0))


def test_it_tells_account_region_database_role_and_keys(
    services: Container, world: World, database_url: str, sandbox: Sandbox
) -> None:
    services.services.keys.list()  # the aliases are known from then on
    place = services.services.surroundings()
    url = make_url(database_url)
    assert place.account == ACCOUNT
    assert place.identity.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/keydeck-oncall/")
    assert (place.region, place.profile) == ("eu-west-1", "")
    assert place.database == f"{url.database}@{url.host}"
    assert place.database_role == OPERATOR
    assert (place.write_key, place.write_key_alias) == (world.current_key.arn, "alias/tokens")
    assert (place.aws_trouble, place.database_trouble, place.credentials_remedy) == ("", "", "")


def test_an_alias_that_is_not_known_yet_is_not_asked_for(services: Container) -> None:
    calls = services.kms.calls
    assert services.services.surroundings().write_key_alias == ""
    assert services.kms.calls == calls + 1, "only the write key itself is looked at"


@pytest.mark.parametrize(
    ("key", "alias"),
    [
        ("arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000", "alias/a"),
        ("00000000-0000-4000-8000-000000000000", "alias/a"),
        ("alias/whatever", "alias/whatever"),
        ("arn:aws:kms:eu-west-1:123456789012:alias/whatever", "alias/whatever"),
        ("arn:aws:kms:us-east-1:123456789012:key/00000000-0000-4000-8000-000000000000", ""),
        ("00000000-0000-4000-8000-000000000001", ""),
        ("arn:aws:kms:us-east-1:123456789012:key/mrk-00000000000040008000000000000000", "alias/replica"),
        (None, ""),
    ],
)
def test_the_alias_is_found_in_whatever_form_the_key_is_named(key: str | None, alias: str) -> None:
    arn = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000"
    replica = "arn:aws:kms:eu-west-1:123456789012:key/mrk-00000000000040008000000000000000"
    known = {arn: ("alias/a", "alias/b"), arn[:-1] + "9": (), replica: ("alias/replica",)}
    assert alias_of(key, known) == alias


# One side does not answer


@pytest.mark.parametrize("hangs", ["AWS", "database"])
def test_a_side_that_hangs_does_not_hold_up_the_other(
    control: EndpointControl, monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        if hangs == "AWS":
            control.add_fault(Fault("GetCallerIdentity", "hang"))
        else:
            port = silent.getsockname()[1]
            monkeypatch.setenv("DATABASE_URL", f"postgresql://nobody:secret@127.0.0.1:{port}/tokens")
        with closing(Container(load().settings)) as container:
            began = monotonic()
            place = container.services.surroundings()
            assert monotonic() - began < 15
    late = "No answer within 6 s."
    assert (place.account, place.aws_trouble) == (("", late) if hangs == "AWS" else (ACCOUNT, ""))
    assert (place.database_role, place.database_trouble) == (
        ("", late) if hangs == "database" else (OPERATOR, "")
    )
    assert "secret" not in repr(place)


def test_a_question_that_hangs_is_not_asked_a_second_time(
    services: Container, control: EndpointControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.3)
    control.add_fault(Fault("GetCallerIdentity", "hang"))
    before = set(threading.enumerate())
    with ThreadPoolExecutor(4) as pool:
        places = list(pool.map(lambda _: services.services.surroundings(), range(8)))
        # One question to each side, whatever watches over them: eight would be as many threads each.
        asking = [t for t in set(threading.enumerate()) - before if t.name == "keydeck-call"]
        assert len(asking) <= 2
    assert all(place.aws_trouble for place in places)


# AWS is asked seldom


def test_aws_is_asked_once_while_its_answer_is_fresh(
    surveyor: EnvironmentProbe, clock: Clock, control: EndpointControl
) -> None:
    before = sts_calls(control)
    for _ in range(5):
        assert surveyor.now().account == ACCOUNT
    assert sts_calls(control) == before + 1
    clock.now += FRESH_SECONDS
    assert surveyor.now().account == ACCOUNT
    assert sts_calls(control) == before + 2


def test_in_trouble_aws_is_asked_once_a_minute(
    surveyor: EnvironmentProbe, clock: Clock, control: EndpointControl
) -> None:
    control.add_fault(Fault("GetCallerIdentity", "ServiceUnavailable"))
    before = sts_calls(control)
    for _ in range(5):
        assert "internally" in surveyor.now().aws_trouble
    assert sts_calls(control) == before + 1
    control.clear()
    clock.now += ASK_AGAIN_SECONDS - 1
    assert surveyor.now().aws_trouble
    clock.now += 1
    assert not surveyor.now().aws_trouble
    assert sts_calls(control) == before + 2


# Credentials


@pytest.mark.deep
def test_expired_credentials_are_told_with_the_way_out_and_their_renewal_is_noticed(
    profile: Callable[..., None], control: EndpointControl, database_url: str
) -> None:
    control.add_principal(OLD, "before")
    control.add_principal(NEW, "after")
    profile(OLD, "old")
    container = Container(load().settings)
    place = container.services.surroundings()
    assert place.profile == "ops"
    assert place.identity.endswith("user/before")

    control.add_fault(Fault("*", "ExpiredTokenException"))
    with pytest.raises(CredentialsExpiredError):
        container.services.keys.list()
    place = container.services.surroundings()
    assert "expired" in place.aws_trouble
    assert "aws_session_token" in place.credentials_remedy
    assert "profile ops" in place.credentials_remedy
    assert place.identity.endswith("user/before")
    assert place.database_role == OPERATOR

    control.clear()
    profile(NEW, "new")
    sleep(1.1)  # how often the files are looked at
    place = container.services.surroundings()
    assert place.identity.endswith("user/after")
    assert (place.aws_trouble, place.credentials_remedy) == ("", "")
    container.close()


def test_a_call_that_goes_through_again_clears_the_trouble_at_once(
    services: Container, surveyor: EnvironmentProbe, control: EndpointControl
) -> None:
    assert surveyor.now().account
    control.add_fault(Fault("*", "ExpiredTokenException"))
    with pytest.raises(CredentialsExpiredError):
        services.kms.call("ListKeys")
    before = sts_calls(control)
    for _ in range(3):
        assert surveyor.now().credentials_remedy
    assert sts_calls(control) == before, "what is known needs no asking"
    control.clear()
    services.kms.call("ListKeys")
    place = surveyor.now()
    assert not place.credentials_remedy
    assert place.account == ACCOUNT


def test_while_credentials_are_refused_sts_is_left_alone_for_a_minute(
    surveyor: EnvironmentProbe, clock: Clock, control: EndpointControl
) -> None:
    control.add_fault(Fault("*", "ExpiredTokenException"))
    before = sts_calls(control)
    for _ in range(5):
        assert surveyor.now().credentials_remedy
    assert sts_calls(control) == before + 1
    clock.now += ASK_AGAIN_SECONDS
    control.clear()
    assert surveyor.now().account == ACCOUNT


def test_an_unknown_profile_is_told_and_stays_told(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    container = Container(load().settings)
    for _ in range(2):
        place = container.services.surroundings()
        assert "nobody" in place.aws_trouble
        assert place.database_role == OPERATOR
    container.close()


# The write key


def trouble_with(write_key: str, **options: Any) -> str:
    container = Container(load({"write_key": write_key, **options}).settings)
    trouble = container.services.surroundings().aws_trouble
    container.close()
    return trouble


def test_a_write_key_of_another_region_is_told(environment: dict[str, str], world: World) -> None:
    key = world.current_key.arn.replace("eu-west-1", "us-east-1")
    assert trouble_with(key) == "The write key is in us-east-1; the Regions here are eu-west-1."
    assert trouble_with(world.current_key.arn, regions=("us-east-1", "eu-west-1")) == ""


def test_a_write_key_that_is_not_in_this_account_is_told(control: EndpointControl, world: World) -> None:
    assert "alias/not-here" in trouble_with("alias/not-here")
    foreign = world.current_key.arn.replace(ACCOUNT, "999999999999")
    assert "999999999999" in trouble_with(foreign)


def test_an_identity_that_may_not_describe_keys_of_its_account_is_no_trouble(
    control: EndpointControl, world: World
) -> None:
    control.add_denial(Denial("*", "kms:DescribeKey"))
    assert trouble_with(world.current_key.arn) == ""


# The database goes and comes back


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> Iterator[Postgres]:
    """A PostgreSQL of the test's own, which the settings name."""
    claimed = claim_folder()
    with Postgres.start(claimed.path) as server:
        monkeypatch.setenv("DATABASE_URL", server.url(OPERATOR))
        yield server
    claimed.remove()


@pytest.mark.deep
def test_a_database_that_comes_back_is_used_again_without_a_restart(postgres: Postgres) -> None:
    container = Container(load().settings)
    assert not container.services.surroundings().database_trouble
    postgres.stop()
    place = container.services.surroundings()
    assert "database" in place.database_trouble
    assert place.database_role == OPERATOR, "what was known stays"
    assert place.account == ACCOUNT
    postgres.restart()
    place = container.services.surroundings()
    assert (place.database_role, place.database_trouble) == (OPERATOR, "")
    container.close()


def test_the_journal_names_who_acts_while_aws_is_away(
    services: Container, control: EndpointControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    control.add_fault(Fault("GetCallerIdentity", "reset"))
    with pytest.raises(KmsError):
        services.kms.identity()
    assert services.journal.actor() == f"AWS identity not known, database role {OPERATOR}"
