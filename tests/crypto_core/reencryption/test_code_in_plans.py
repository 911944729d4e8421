"""Code that others attached to a table is part of the plan: another body of it is another plan."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.world import World
from crypto_core.errors import RefusedError
from crypto_core.guard.consent import Consent
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.references import TokenRef

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
    work = services.work
    before = work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    platform_runs(platform, TOUCH, TRIGGER)
    plan = work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    assert plan.digest != before.digest
    assert any("trigger touched on gh_connection runs public.touch(), owned by" in w for w in plan.warnings)
    assert plan.as_json()["code"][0]["function"] == "public.touch()"
    assert work.run_plan(plan, Consent.by_option(plan)).done == 1


def test_code_that_changes_between_plan_and_write_stops_run_and_job(
    services: Container, platform: Engine, ref: TokenRef, world: World
) -> None:
    platform_runs(platform, TOUCH, TRIGGER)
    plan = services.work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    jobs = services.jobs
    as_job = jobs.plan_job(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn, JobOptions())
    started = jobs.start_job(as_job, Consent.by_option(as_job))
    platform_runs(platform, TOUCH.replace("RETURN NEW", "RETURN OLD"))
    with pytest.raises(RefusedError, match=r"has changed since the plan: trigger touched"):
        services.work.run_plan(plan, Consent.by_option(plan))
    with pytest.raises(RefusedError, match=r"has changed since the plan: trigger touched"):
        jobs.start_job(as_job, Consent.by_option(as_job))
    with pytest.raises(RefusedError, match=r"has changed since the plan: trigger touched"):
        jobs.join_job(started)
    assert "has changed since the plan" in jobs.show_job(started).why
