"""A runner whose clock jumps by hours: AWS refuses its signatures, and leases are the database's."""

from __future__ import annotations

import pytest

from tests.console.faults.aftermath import assert_all_is_well
from tests.console.faults.scene import staged, until

pytestmark = pytest.mark.deep

SEED = 17
HOUR = 3600
JUMPING = ("-P", "-m", "tests.console.faults.jumping", "jobs", "join")


@pytest.mark.slow
@pytest.mark.parametrize("others", [0, 1])
def test_a_clock_that_jumps_by_hours_takes_no_chunk_away_and_ends_no_runner(
    monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    with staged(monkeypatch) as scene:
        scene.write(SEED, 0.15)
        jumping = scene.join(program=JUMPING)
        at_work = [jumping, *(scene.join() for _ in range(others))]
        scene.until_enlisted(*at_work)
        for hours in (3, -5, 0, 26):
            scene.until_written(20, jumping)
            jumping.tell(str(hours * HOUR))
            until(lambda: f"jumped {hours * HOUR}" in jumping.stderr, "the jump")  # noqa: B023
            scene.until_written(20, jumping)
        mine = "SELECT id FROM keydeck.job_runner WHERE job_id = :job AND pid = :pid"
        written = "SELECT sum(done) FROM keydeck.job_chunk WHERE job_id = :job AND runner_id = :runner"
        by_jumping = scene.scalar(written, runner=scene.scalar(mine, pid=jumping.pid))
        assert by_jumping
        view = assert_all_is_well(scene, scene.finish(*at_work))
        assert not [remark for remark in view.remarks if "not whole" in remark or "accept" in remark]
        # Nobody lost a chunk that it held.
        assert scene.scalar("SELECT max(attempt) FROM keydeck.job_chunk WHERE job_id = :job") == 1
        apart = "max(abs(extract(epoch FROM clock_timestamp() - replaced_at)))"
        assert scene.scalar(f"SELECT {apart} FROM keydeck.envelope_backup") < HOUR
