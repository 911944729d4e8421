"""Whether the platform has switched, and whether anybody still uses the old key."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from crypto_core.incidents.model import CheckResult, CheckState, StepState, StepView
from crypto_core.incidents.runbooks.catalogue import ActionKind, CheckKind
from crypto_core.incidents.runbooks.runbook import RunbookStep
from crypto_core.incidents.steps.step_contracts import looked_at
from crypto_core.values.moments import in_utc
from tests.crypto_core.incidents.keys.conftest import Scene, told

SWITCHED, QUIET = CheckKind.PLATFORM_SWITCHED, CheckKind.KEY_QUIET


@pytest.mark.deep
def test_a_connection_under_the_new_key_shows_the_switch_also_after_a_slow_rollout(scene: Scene) -> None:
    assert scene.look(SWITCHED).state is CheckState.NOT_YET
    scene.values["new_key"] = new = scene.stage.key()
    waiting = scene.look(SWITCHED)
    assert waiting.state is CheckState.NOT_YET, told(waiting)
    scene.stage.connect(new)
    scene.stage.connect(scene.key)  # an instance that was not restarted yet
    still = scene.look(SWITCHED)
    assert still.state is CheckState.NOT_YET, told(still)
    time.sleep(1.2)  # the next second: the old key's last use is dated by the second
    scene.stage.connect(new)
    done = scene.look(SWITCHED)
    assert done.state is CheckState.PASSED, told(done)


@pytest.mark.deep
def test_cloudtrail_shows_the_switch_where_nobody_connects(scene: Scene) -> None:
    scene.declared_at = datetime.now(UTC) - timedelta(hours=1)
    scene.values["new_key"] = new = scene.stage.key()
    scene.past(40, scene.key)
    scene.past(30, new)
    look = scene.look(SWITCHED)
    assert look.state is CheckState.PASSED, told(look)
    assert "GenerateDataKey by role/keydeck-platform: 1 times" in told(look)
    assert "nothing was sealed under the old key" in told(look)
    scene.stage.platform_kms().generate_data_key(KeyId=scene.key, KeySpec="AES_256")
    behind = scene.look(SWITCHED)
    assert behind.state is CheckState.NOT_YET, told(behind)
    assert "CloudTrail, old key, sealed: GenerateDataKey by role/keydeck-platform: 2 times" in told(behind)


@pytest.mark.deep
def test_quiet_is_what_cloudtrail_covers_and_own_calls_do_not_break_it(scene: Scene) -> None:
    scene.past(20, scene.key)
    half = scene.look(QUIET, minutes=30)
    assert half.state is CheckState.NOT_YET, told(half)
    assert 0 < half.done < 30
    assert "GenerateDataKey by role/keydeck-platform: 1 times" in told(half)
    scene.container.kms.call("GenerateDataKey", KeyId=scene.key, KeySpec="AES_256")
    quiet = scene.look(QUIET, minutes=3)
    assert quiet.state is CheckState.PASSED, told(quiet)
    assert "Keydeck's own calls, which do not count: 1" in told(quiet)
    scene.stage.platform_kms().generate_data_key(KeyId=scene.key, KeySpec="AES_256")
    used = scene.look(QUIET, minutes=3)
    assert (used.state, used.done, used.total) == (CheckState.NOT_YET, 0, 3)


@pytest.mark.deep
def test_quiet_counts_from_the_last_step_that_took_the_key_away_by_awss_clock(scene: Scene) -> None:
    now = datetime.now(UTC)

    def look(ended: datetime | None, *, now: datetime | None = None, ago: int = 50) -> CheckResult:
        locked = RunbookStep("lock-down", "Lock it down", "", action=ActionKind.LOCK_DOWN_KEY)
        switched = RunbookStep("switch", "Switch", "", check=CheckKind.PLATFORM_SWITCHED)
        skipped = datetime.now(UTC) - timedelta(minutes=ago)
        state = StepState.DONE if ended else StepState.BEGUN
        steps = (
            StepView(switched, 4, StepState.SKIPPED, ended_at=skipped),
            StepView(locked, 5, state, ended_at=ended),
        )
        situation = scene.situation(check={"minutes": 3})
        return looked_at(scene.tools.checks[QUIET], replace(situation, steps=steps, now=now))

    open_ = look(None)
    assert (open_.state, open_.lines) == (
        CheckState.NOT_YET,
        ("Not counted yet: step 5, Lock it down, has not ended",),
    )
    earlier = look(now - timedelta(minutes=20))
    assert earlier.state is CheckState.PASSED, told(earlier)
    assert "then step 5, Lock it down, was done" in told(earlier)
    assert f"which do not count: none, as {scene.container.kms.identity().arn}" in told(earlier)
    ended = now - timedelta(minutes=16, seconds=5)  # AWS tells the time in whole seconds
    just = look(ended)
    assert (just.state, just.done, just.total) == (CheckState.NOT_YET, 1, 3), told(just)
    at = in_utc(ended + timedelta(minutes=18))
    assert just.lines[0] == f"Quiet for 1 of 3 minutes; proved at {at} at the earliest"
    later = look(now - timedelta(minutes=20), ago=2)
    assert (later.state, later.done) == (CheckState.NOT_YET, 0), told(later)
    assert "then step 4, Switch, was skipped" in told(later)
    elsewhere = look(now - timedelta(minutes=20), now=now - timedelta(minutes=7, seconds=30))
    assert elsewhere.state is CheckState.UNKNOWN
    assert "The database's clock is 7 min behind AWS's" in told(elsewhere)


@pytest.mark.deep
def test_what_can_not_be_fetched_proves_nothing(scene: Scene, deny: Callable[..., None]) -> None:
    deny("cloudtrail:LookupEvents")
    look = scene.look(QUIET, minutes=5)
    assert look.state is CheckState.UNKNOWN
    assert "cloudtrail:LookupEvents" in told(look)
    scene.values["new_key"] = scene.stage.key()
    switched = scene.look(SWITCHED)
    assert not switched.passed
    assert "CloudTrail: not known" in told(switched)


def test_what_the_guide_checks_of_a_rotation_a_step_of_an_incident_can_too(scene: Scene) -> None:
    checks = (CheckKind.KEY_PERMITTED, CheckKind.NAMES_SWITCHED, CheckKind.OLD_KEY_READABLE)
    assert [scene.look(kind).lines for kind in checks] == [("There is no new key yet.",)] * 3
    scene.values["new_key"] = new = scene.stage.key()
    permitted, switched, readable = map(scene.look, checks)
    assert permitted.state is CheckState.PASSED, told(permitted)
    assert switched.state is CheckState.NOT_YET
    assert f"TOKEN_ENCRYPTION_KEY_ID={new}" in switched.lines
    scene.stage.connect(scene.key)
    assert readable.state is CheckState.NOT_YET
    readable = scene.look(CheckKind.OLD_KEY_READABLE)
    assert f"KEYDECK_TRUSTED_KEYS={scene.key}" in readable.lines
