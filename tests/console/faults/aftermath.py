"""What must be true after every job, whatever happened to it."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from console.sandbox.postgres import OPERATOR
from crypto_core.database.tokens.store import digest
from crypto_core.envelope import Format, classify, open_dev
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.jobs.model import JobState, JobView
from crypto_core.values.key_names import same_key
from tests.console.faults.scene import LEAST_SHARE, Scene, until
from tests.console.faults.writer import COLUMNS


@dataclass(frozen=True, slots=True)
class Backup:
    ref: str
    envelope: str
    key_arn: str
    written: bytes


def assert_all_is_well(scene: Scene, written: dict[str, Any]) -> JobView:
    """Every token opens and is the last one written, none is under the old key, and nothing was done twice.

    `written` is what the platform told at its end.
    """
    view = scene.view()
    assert (view.state, view.poisoned, view.remaining, view.why) == (JobState.DONE, 0, 0, "")
    last = written["last"]
    changes = sum(number for kind, number in written["counts"].items() if kind != "failed")
    assert changes >= LEAST_SHARE * scene.planned, written["counts"]
    stored = _stored(scene)
    _assert_last_written(scene, stored, last)
    _assert_nothing_twice(scene, view, stored, last)
    _assert_told_once(scene, view, written["kms_calls"])
    nobody = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{OPERATOR}'"
    scene.container.engine.dispose()
    scene.container.state_engine.dispose()
    until(lambda: scene.scalar(nobody) == 0, "the end of all sessions")
    return view


def _stored(scene: Scene) -> dict[str, str]:
    found: dict[str, str] = {}
    with scene.superuser.connect() as connection:
        for table, columns in COLUMNS.items():
            for column in columns:
                statement = f"SELECT id::text, {column} FROM {table} WHERE {column} IS NOT NULL"
                found |= {
                    f"{table}.{column}:{id_}": value for id_, value in connection.execute(text(statement))
                }
    return found


def _assert_last_written(scene: Scene, stored: dict[str, str], last: dict[str, str | None]) -> None:
    world = scene.sandbox.world
    rows = {(ref.table, ref.row_id) for ref in world.corrupt}
    tokens = {str(r): world.token_for(r) for r in world.tokens if (r.table, r.row_id) not in rows}
    tokens = {ref: token for ref, token in (tokens | last).items() if token is not None}
    assert stored.keys() == tokens.keys()
    cipher = TokenCipher(scene.container.keyring.trusting(scene.target))

    def opened(ref: str) -> tuple[str, str]:
        value = stored[ref]
        format_ = classify(value).format
        if format_ is Format.PLAINTEXT:
            return value, ""
        if format_ is Format.DEV:
            return open_dev(value).reveal(), ""
        found = cipher.open(value, scene.target)
        return found.token.reveal(), found.wrapped_by.key_arn

    keys = Counter[str]()
    with ThreadPoolExecutor(8) as pool:
        for ref, (token, key) in zip(stored, pool.map(opened, stored), strict=True):
            assert token == tokens[ref], ref
            keys[key] += 1
    assert not keys[scene.source], keys
    census = scene.container.services.status.take_census()
    assert census.tokens_under(scene.source) == 0
    assert census.coverage.complete, census.coverage.reasons
    assert census.tokens_under(scene.target) == keys[scene.target]


def _assert_nothing_twice(
    scene: Scene, view: JobView, stored: dict[str, str], last: dict[str, str | None]
) -> None:
    """Each envelope is replaced once, and what the job has written itself never."""
    statement = (
        "SELECT b.token_column || ':' || b.row_id, b.envelope, b.key_arn, b.written_digest"
        " FROM keydeck.envelope_backup b JOIN keydeck.job j ON j.run_id = b.run_id"
        " WHERE j.id = :job ORDER BY b.id"
    )
    with scene.superuser.connect() as connection:
        rows = connection.execute(text(statement), {"job": scene.job})
        backups = [Backup(ref, envelope, key, bytes(d)) for ref, envelope, key, d in rows]
    made = {backup.written for backup in backups}
    replaced = {digest(backup.envelope) for backup in backups}
    assert len(made) == len(replaced) == len(backups) == view.done
    assert not made & replaced
    assert all(same_key(backup.key_arn, scene.source) for backup in backups)
    newest = {backup.ref: backup.written for backup in backups}
    for ref in scene.sandbox.world.sealed_under(scene.sandbox.world.current_key):
        if str(ref) not in last and str(ref) in stored:
            assert newest[str(ref)] == digest(stored[str(ref)]), ref
    untouched = Counter(backup.ref for backup in backups if backup.ref not in last)
    assert set(untouched.values()) <= {1}


def _assert_told_once(scene: Scene, view: JobView, by_platform: int) -> None:
    """The counters are what happened, the chunks are done, and the journal tells of the end once.

    `by_platform` are KMS calls of the platform's, without retries.
    """
    sums = "SELECT {} FROM keydeck.job_chunk WHERE job_id = :job"
    assert scene.scalar(sums.format("sum(done)")) == view.done
    assert scene.scalar(sums.format("count(*)") + " AND state <> 'done'") == 0
    assert scene.scalar(sums.format("sum(expected)") + " AND wave = 1") == scene.planned
    calls = scene.sandbox.control.stats().calls
    made = sum(
        calls.get(f"kms:{name}", 0) - scene.calls_before.get(f"kms:{name}", 0)
        for name in ("GenerateDataKey", "Decrypt")
    )
    assert 2 * view.done <= view.kms_calls <= made - by_platform
    journal = scene.container.journal
    assert journal.verify() is None
    mine = [e for e in journal.entries(limit=100_000) if f'"job": {scene.job},' in e.detail]
    assert sum('"run_ended": true' in e.detail for e in mine) == 1
    assert sum(f'"done": {view.done},' in e.detail for e in mine) == 1
    waves = sorted(e.detail for e in mine if '"wave"' in e.detail and e.outcome == "started")
    assert len(waves) == len(set(waves)) == view.wave - 1
