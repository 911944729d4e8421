"""Code that others attached to a table is part of the plan: another body of it is another plan."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.world import World
from crypto_core.guard.consent import Consent
from crypto_core.reencryption.backup_restore import BackupSelection
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import NotConfirmedError, RefusedError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.conftest import Ran

TOUCH = """
CREATE OR REPLACE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN NEW.org_id := NEW.org_id; RETURN NEW; END$$
"""
TRIGGER = "CREATE TRIGGER touched BEFORE UPDATE ON gh_connection FOR EACH ROW EXECUTE FUNCTION public.touch()"


@pytest.fixture
def ref(world: World) -> TokenRef:
    return next(r for r in world.sealed_under(world.current_key) if str(r).startswith("gh_connection.access"))


def platform_runs(platform: Engine, *statements: str) -> None:
    with platform.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_an_ordinary_trigger_is_named_in_the_plan_and_lets_the_run_finish(
    services: Container, platform: Engine, ref: TokenRef, world: World
) -> None:
    work = services.tokens.work
    before = work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    platform_runs(platform, TOUCH, TRIGGER)
    plan = work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    assert plan.digest != before.digest
    assert any(
        "trigger touched on public.gh_connection runs public.touch(), owned by" in w for w in plan.warnings
    )
    assert plan.as_json()["code"][0]["function"] == "public.touch()"
    with pytest.raises(NotConfirmedError, match=r"does not agree to: public\.touch\(\)"):
        work.run_plan(plan, Consent.by_option(plan))
    assert work.run_plan(plan, Consent.by_option(plan, ["public.touch"])).done == 1


def test_code_that_changes_between_plan_and_write_stops_run_and_job(
    services: Container, platform: Engine, ref: TokenRef, world: World
) -> None:
    platform_runs(platform, TOUCH, TRIGGER)
    plan = services.tokens.work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    jobs = services.tokens.jobs
    as_job = jobs.plan_job(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn, JobOptions())
    started = jobs.start_job(as_job, Consent.by_option(as_job, ["public.touch()"]))
    platform_runs(platform, TOUCH.replace("RETURN NEW", "RETURN OLD"))
    with pytest.raises(RefusedError, match=r"has changed since the plan: trigger touched"):
        services.tokens.work.run_plan(plan, Consent.by_option(plan, ["public.touch()"]))
    with pytest.raises(RefusedError, match=r"has changed since the plan: trigger touched"):
        jobs.start_job(as_job, Consent.by_option(as_job, ["public.touch()"]))
    with pytest.raises(RefusedError, match=r"has changed since the plan: trigger touched"):
        jobs.join_job(started)
    assert "has changed since the plan" in jobs.show_job(started).why


def test_on_the_command_line_code_is_agreed_to_by_name_or_once_for_all_in_the_settings(
    keydeck: Callable[..., Ran],
    platform: Engine,
    ref: TokenRef,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keydeck("init")
    platform_runs(platform, TOUCH, TRIGGER)
    run = ("reencrypt", str(ref), "--to", world.current_key.arn, "--yes")
    refused = keydeck(*run)
    assert refused.exit_code == 2
    assert "--runs-code" in refused.stderr
    assert keydeck(*run, "--runs-code", "public.touch()").exit_code == 0
    agreed = next(w for w in refused.stderr.split('"') if w.startswith("public.touch@"))
    monkeypatch.setenv("KEYDECK_AGREED_CODE", agreed)
    assert keydeck(*run).exit_code == 0
    platform_runs(platform, TOUCH.replace("NEW.org_id;", "NEW.org_id; NEW.user_id := NEW.user_id;"))
    assert keydeck(*run).exit_code == 2


def test_restoring_and_replacing_name_it_too(
    services: Container, platform: Engine, ref: TokenRef, world: World
) -> None:
    work = services.tokens.work
    plan = work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    work.run_plan(plan, Consent.by_option(plan))
    platform_runs(platform, TOUCH, TRIGGER)
    restore = services.tokens.backup_restoring.plan_restore(BackupSelection((ref,)))
    entry = services.tokens.entering.plan_row(ref, Secret.of("gho_" + "x" * 36), replaced=False)
    for each in (restore, entry):
        assert each.unagreed == ("public.touch()",)
    with pytest.raises(NotConfirmedError, match=r"public\.touch"):
        services.tokens.backup_restoring.restore_envelopes(restore, Consent.by_option(restore))
    platform_runs(platform, TOUCH.replace("RETURN NEW", "RETURN OLD"))
    assert services.tokens.backup_restoring.plan_restore(BackupSelection((ref,))).digest != restore.digest
    with pytest.raises(RefusedError, match="has changed since the plan"):
        services.tokens.entering.read_old(entry)
