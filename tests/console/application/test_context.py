"""Profile and database are changed while the console runs; what must not change stays as it was."""

from __future__ import annotations

import gc
import logging
import re
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, make_url, text

from console.application.context import DEFAULT, ConsoleContexts
from console.sandbox.postgres import OPERATOR, PLATFORM
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import Settings, load
from crypto_core.database.connection.engine import open_engine
from crypto_core.envelope import Format
from crypto_core.guard.consent import Consent
from crypto_core.lists.paging import Query
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import DatabaseError, ReadOnlyError, SettingsError
from screens.services import Context

SETTINGS = """
environment = "staging"
environment_colour = "green"

[databases]
empty = "{empty}"
nowhere = "postgresql://nobody:hunter2@127.0.0.1:9/tokens?sslpassword=hunter3"

[databases.live]
url = "{empty}"
environment = "PROD"
environment_colour = "red"
binding = "acme-live"
"""


@pytest.fixture
def empty_url(sandbox: Sandbox, database_url: str) -> Iterator[str]:
    """A second database on the same server, with no tables in it."""
    name = f"{make_url(database_url).database}_empty"
    admin = open_engine(
        make_url(sandbox.superuser_url).set(database="postgres").render_as_string(hide_password=False)
    ).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} OWNER {PLATFORM}"))
    yield make_url(database_url).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def settings(
    environment: dict[str, str], empty_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    """The sandbox's settings, a settings file with further databases, and AWS files with two profiles."""
    file = tmp_path / "settings.toml"
    file.write_text(SETTINGS.format(empty=empty_url))
    monkeypatch.setenv("KEYDECK_SETTINGS", str(file))
    config, credentials = tmp_path / "config", tmp_path / "credentials"
    config.write_text("[profile ops]\nregion = us-east-1\n[profile audit]\nregion = eu-central-1\n")
    credentials.write_text(
        "[ops]\naws_access_key_id = AKIACONTEXTOPS000001\naws_secret_access_key = s\n"
        "[audit]\naws_access_key_id = AKIACONTEXTAUDIT0001\naws_secret_access_key = s\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    return load().settings


@pytest.fixture
def contexts(settings: Settings) -> Iterator[ConsoleContexts]:
    made = ConsoleContexts(settings)
    yield made
    made.close()


def test_it_begins_where_the_settings_say(contexts: ConsoleContexts) -> None:
    assert contexts.current() == Context("", DEFAULT)
    assert contexts.services.contexts is contexts
    assert contexts.services.surroundings().environment == "staging"


def test_what_is_offered_comes_from_the_files_and_shows_no_password(contexts: ConsoleContexts) -> None:
    offered = contexts.offered()
    assert offered.profiles == ("", "ops", "audit")
    assert [choice.name for choice in offered.databases] == [DEFAULT, "empty", "nowhere", "live"]
    assert "hunter" not in repr(offered)
    assert offered.trouble == ""


def test_a_configuration_that_cannot_be_read_is_told_and_the_rest_offered(
    contexts: ConsoleContexts, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[profile ops\n")
    offered = contexts.offered()
    assert offered.profiles == ("",)
    assert "can't be read" in offered.trouble
    assert len(offered.databases) == 4
    with pytest.raises(SettingsError, match="can't be read"):
        contexts.switch(profile="ops")


def test_another_profile_acts_as_somebody_else(contexts: ConsoleContexts) -> None:
    before = contexts.services.surroundings()
    place = contexts.switch(profile="ops").surroundings()
    assert place.profile == "ops"
    assert place.identity.endswith("user/AKIACONTEXTOPS000001")
    assert place.identity != before.identity
    assert place.database == before.database
    assert contexts.switch(profile="").surroundings().identity == before.identity


def test_a_profile_brings_its_region_where_none_is_set(
    contexts: ConsoleContexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert contexts.switch(profile="ops").surroundings().region == "eu-west-1", "AWS_REGION is set"
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    assert contexts.switch(profile="audit").surroundings().region == "eu-central-1"


def test_another_database_shows_its_own_rows_and_its_own_mark(
    contexts: ConsoleContexts, world: World, empty_url: str
) -> None:
    assert contexts.services.status.take_census().tokens == len(world.tokens)
    services = contexts.switch(database="live")
    assert contexts.current().database == "live"
    assert services.status.take_census().tokens == 0
    place = services.surroundings()
    assert place.database.partition("@")[0] == make_url(empty_url).database
    assert (place.environment, place.environment_colour) == ("PROD", "red")
    place = contexts.switch(database="empty").surroundings()
    assert (place.environment, place.environment_colour) == ("empty", ""), "not marked as the first one is"
    place = contexts.switch(database=DEFAULT).surroundings()
    assert (place.environment, place.environment_colour) == ("staging", "green")


def test_a_place_that_does_not_answer_can_be_switched_to_and_left_again(contexts: ConsoleContexts) -> None:
    services = contexts.switch(database="nowhere")
    place = services.surroundings()
    assert place.database_trouble
    assert place.account
    with pytest.raises(DatabaseError):
        services.inventory.count(Query())
    assert not contexts.switch(database=DEFAULT).surroundings().database_trouble


def test_each_database_has_its_own_binding_and_takes_none_from_another(settings: Settings) -> None:
    bound = settings.model_copy(update={"binding": "acme", "write_format": "v2"})
    made = ConsoleContexts(bound)
    try:
        for database, binding, written in (
            ("live", "acme-live", Format.V2_BOUND),
            ("empty", None, Format.V2),
            (DEFAULT, "acme", Format.V2_BOUND),
        ):
            services = made.switch(database=database)
            assert made._container.keyring.binding == binding
            assert services.surroundings().write_format == written
    finally:
        made.close()
    strict = ConsoleContexts(bound.model_copy(update={"write_format": "v2-bound"}))
    try:
        with pytest.raises(SettingsError, match=r"Database empty, .* has no binding"):
            strict.switch(database="empty")
        assert strict.current().database == DEFAULT
    finally:
        strict.close()


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"profile": "nobody"}, "no AWS profile 'nobody'.*ops, audit"),
        ({"database": "nobody"}, "no database 'nobody'.*default, empty, nowhere, live"),
        ({"profile": "ops", "database": "nobody"}, "no database"),
        ({"profile": "a\x1b[2Jb"}, r"no AWS profile 'a\[2Jb'"),
    ],
)
def test_what_is_not_there_is_refused_and_all_stays_as_it_was(
    contexts: ConsoleContexts, choice: dict[str, str], says: str
) -> None:
    before, container = contexts.current(), contexts._container
    with pytest.raises(SettingsError) as caught:
        contexts.switch(**choice)  # type: ignore[arg-type]
    assert re.search(says, str(caught.value))
    assert caught.value.remedy
    assert contexts.current() == before
    assert contexts._container is container


def test_a_profile_that_is_gone_can_be_left(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "gone")
    contexts = ConsoleContexts(load().settings)
    offered = contexts.offered()
    assert offered.profiles == ("ops", "audit")
    assert "gone" in contexts.services.surroundings().aws_trouble
    assert contexts.switch(profile="ops").surroundings().account
    contexts.close()


def test_read_only_stays_read_only_wherever_the_console_goes(settings: Settings, world: World) -> None:
    contexts = ConsoleContexts(settings.model_copy(update={"read_only": True}))
    for choice in ({"profile": "ops"}, {"database": "live"}, {"database": DEFAULT}):
        services = contexts.switch(**choice)  # type: ignore[arg-type]
        assert services.read_only
        assert services.surroundings().read_only
    contexts.switch(profile="")
    services = contexts.services
    ref = world.sealed_under(world.old_key)[0]
    plan = services.work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    with pytest.raises(ReadOnlyError):
        services.work.run_plan(plan, Consent.pressed(plan))
    contexts.close()


# What was left


def test_a_call_under_way_ends_on_the_connection_that_it_began_with(contexts: ConsoleContexts) -> None:
    old = contexts._container
    with ThreadPoolExecutor(1) as pool, old.engine.connect() as connection:
        slow = pool.submit(lambda: connection.scalar(text("SELECT pg_sleep(0.5)::text || 'done'")))
        contexts.switch(database="empty")
        assert slow.result() == "done"
    old_services = old.services
    assert old_services.status.take_census().tokens, "a screen that still has the old services may ask them"


def test_connections_of_a_place_that_was_left_are_closed(contexts: ConsoleContexts) -> None:
    closed: list[Any] = []
    old = contexts._container
    event.listen(old.engine, "close", lambda *_: closed.append(1))
    old.services.status.take_census()
    contexts.switch(database="empty")
    assert closed
    closed.clear()
    old.services.status.take_census()  # a straggler opens one again
    contexts.services.surroundings()
    assert closed


@pytest.mark.deep
def test_a_place_that_nobody_asks_any_more_is_forgotten(contexts: ConsoleContexts) -> None:
    engine = weakref.ref(contexts._container.engine)
    contexts.services.surroundings()
    contexts.switch(database="empty")
    gc.collect()
    assert engine() is None
    assert not contexts._left


def test_switching_does_not_wait_for_a_place_that_hangs(
    contexts: ConsoleContexts, sandbox: Sandbox, superuser: Any
) -> None:
    with superuser.begin() as holder, ThreadPoolExecutor(1) as pool:
        holder.execute(text("LOCK TABLE gh_connection IN ACCESS EXCLUSIVE MODE"))
        hung = pool.submit(contexts.services.status.take_census)
        while not contexts._container.engine.pool.checkedout():  # type: ignore[attr-defined]
            pass
        assert contexts.switch(database="empty").status.take_census().tokens == 0
        assert not hung.done()
        holder.rollback()
        assert hung.result().tokens


def test_a_switch_is_logged_without_secrets(
    contexts: ConsoleContexts, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "console.application.context"):
        contexts.switch(profile="ops", database="nowhere")
    assert "profile ops, database nowhere" in caplog.text
    assert "hunter" not in caplog.text


def test_a_token_is_written_in_the_place_that_was_switched_to(
    contexts: ConsoleContexts, world: World, stored: Callable[[Any], str], services: Any
) -> None:
    contexts.switch(database="empty")
    here = contexts.switch(database=DEFAULT, profile="ops")
    ref = world.plaintext_refs[0]
    plan = here.work.plan_reencryption(Verb.ENCRYPT, Selection((ref,)), world.current_key.arn)
    assert here.work.run_plan(plan, Consent.pressed(plan)).done == 1
    assert stored(ref).startswith("djF8")
    [started] = [e for e in services.journal.entries() if e.outcome == "started"]
    assert started.actor == f"{here.surroundings().identity}, database role {OPERATOR}"
    assert "AKIACONTEXTOPS000001" in started.actor


def test_an_estate_is_gone_to_whole_or_not_at_all(settings: Settings) -> None:
    made = ConsoleContexts(settings.model_copy(update={"binding": "acme", "write_format": "v2-bound"}))
    try:
        made.switch(estate="live")
        assert made.current().estate == "live"
        for wrong in ("empty", "nowhere"):  # one has no binding, one is not there
            with pytest.raises(SettingsError):
                made.switch(estate=wrong)
            assert made.current().estate == "live"
            made.switch(profile="ops")
            assert made._container.keyring.binding == "acme-live"
        made.switch(estate=DEFAULT)
        assert made._container.keyring.binding == "acme"
    finally:
        made.close()
