"""Jobs over what a filter lets through: however many, and looked for again until nothing is left."""

from __future__ import annotations

import json
from collections import Counter
from math import ceil

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core.database.tokens import chunks
from crypto_core.envelope import Format
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.lists.paging import Query
from crypto_core.reencryption.jobs.final_census import selection_of
from crypto_core.reencryption.jobs.model import JobOptions, JobState
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.errors import InterruptedRunError, InvalidFilterError, RefusedError
from crypto_core.values.references import TokenRef
from tests.crypto_core.reencryption.jobs.working import Jobs, jobs_of

GITHUB = "table:gh_connection"


@pytest.fixture(params=["listed", "not listed"])
def jobs(request: pytest.FixtureRequest, services: Container, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Jobs whose plans list the tokens of a filter, or for which they are too many."""
    if request.param == "not listed":
        monkeypatch.setattr("crypto_core.reencryption.planner.LISTED", 5)
    for cut in (chunks.ChunkStore.cut_listed, chunks.ChunkStore.cut_picked):
        monkeypatch.setattr(cut, "__kwdefaults__", {"size": 7})
    return jobs_of(services)


@pytest.fixture
def many(services: Container, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    monkeypatch.setattr("crypto_core.reencryption.planner.LISTED", 5)
    return jobs_of(services)


def rows(services: Container, filter_: str) -> set[TokenRef]:
    return {row.ref for row in services.services.inventory.page(Query(filter_), limit=10_000).rows}


def unopenable(world: World, refs: set[TokenRef]) -> set[TokenRef]:
    return {ref for ref in refs if ref in world.tokens and world.tokens[ref].corruption is not None}


def insert_like(superuser: Engine, ref: TokenRef, row_id: str, stored: str) -> TokenRef:
    """A row that the platform adds: as another one, with a token of its own."""
    with superuser.begin() as connection:
        found = connection.execute(
            text(f"SELECT * FROM {ref.table} WHERE id::text = :id"), {"id": ref.row_id}
        ).mappings()
        row = dict(found.one()) | {"id": row_id, ref.column: stored}
        row |= {c: None for c in ("refresh_token",) if c in row and c != ref.column}
        row = {n: json.dumps(v) if isinstance(v, dict | list) else v for n, v in row.items()}
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO {ref.table} ({names}) VALUES ({values})"), row)
    return TokenRef(ref.table, ref.column, row_id)


@pytest.mark.quick(1)
def test_all_that_a_filter_lets_through_is_written_and_nothing_else(
    jobs: Jobs, services: Container, world: World
) -> None:
    services.services.status.take_census()
    chosen = rows(services, f"{GITHUB} format:v1")
    damaged = unopenable(world, chosen)
    others = rows(services, "format:v1 -table:gh_connection")
    before = {t.ref: t.digest for t in services.store.read_many(others)}
    number = jobs.start(Selection(filter=f"{GITHUB} format:v1"), world.current_key.arn)
    begun = jobs.service.show_job(number)
    assert (begun.job.planned, begun.remaining) == (len(chosen), len(chosen))
    by_column = Counter((ref.table, ref.column) for ref in chosen)
    assert begun.chunks == sum(ceil(number / 7) for number in by_column.values())
    view = jobs.service.join_job(number)
    assert (view.state, view.zeroes) == (JobState.DONE, 2), view.why
    assert (view.done, view.poisoned, view.remaining) == (len(chosen - damaged), len(damaged), 0)
    assert {t.ref for t in jobs.work.sealed} == chosen
    assert {t.ref: t.digest for t in services.store.read_many(others)} == before
    assert rows(services, f"{GITHUB} format:v1 key:{world.old_key.arn.rsplit('/')[-1]}") <= damaged


@pytest.mark.deep
def test_tokens_that_come_while_it_runs_are_found_by_a_further_wave(
    jobs: Jobs, services: Container, superuser: Engine, world: World
) -> None:
    sealed = TokenCipher(services.keyring.trusting(world.old_key.arn)).encrypt("ghp_later", world.old_key.arn)
    like = next(ref for ref in sorted(rows(services, GITHUB)) if ref.column == "access_token")
    number = jobs.start(Selection(filter=GITHUB), world.current_key.arn)
    late: list[TokenRef] = []

    def add_one() -> None:
        if not late:
            late.append(insert_like(superuser, like, "later", sealed.stored))

    jobs.work.before = add_one
    view = jobs.service.join_job(number)
    assert (view.state, view.wave) == (JobState.DONE, 2), view.why
    assert late[0] in {t.ref for t in jobs.work.sealed}
    assert rows(services, f"id:later key:{world.current_key.arn.rsplit('/')[-1]}") == {late[0]}
    # What the first wave has written is not written again.
    refs = [t.ref for t in jobs.work.sealed]
    assert len(refs) == len(set(refs))


@pytest.mark.deep
def test_what_is_left_out_stays_as_it_is_also_when_it_is_looked_for_again(
    jobs: Jobs, services: Container, world: World
) -> None:
    whole = rows(services, f"{GITHUB} format:v1") - set(world.corrupt)
    left_out = tuple(sorted(whole))[:3]
    before = {t.ref: t.digest for t in services.store.read_many(left_out)}
    selection = Selection(filter=f"{GITHUB} format:v1", except_for=left_out)
    plan = jobs.service.plan_job(Verb.REENCRYPT, selection, world.current_key.arn, JobOptions()).plan
    assert plan.tokens == len(rows(services, f"{GITHUB} format:v1")) - 3
    view = jobs.service.join_job(jobs.start(selection, world.current_key.arn))
    assert view.state is JobState.DONE
    assert not {t.ref for t in jobs.work.sealed} & set(left_out)
    assert {t.ref: t.digest for t in services.store.read_many(left_out)} == before


@pytest.mark.deep
def test_plaintext_that_a_filter_lets_through_is_encrypted_until_none_is_left(
    jobs: Jobs, services: Container, superuser: Engine, world: World
) -> None:
    chosen = rows(services, "provider:slack format:plaintext")
    number = jobs.start(Selection(filter="provider:slack"), world.current_key.arn, Verb.ENCRYPT)
    late: list[TokenRef] = []

    def add_one() -> None:
        if not late:
            late.append(insert_like(superuser, min(chosen), "987654", "xoxb-later"))

    jobs.work.before = add_one
    view = jobs.service.join_job(number)
    assert (view.state, view.done) == (JobState.DONE, len(chosen) + 1), view.why
    assert rows(services, "provider:slack format:plaintext") == set()


def test_a_plan_of_more_than_is_listed_counts_in_the_database_and_tells_others_by_format(
    many: Jobs, services: Container, world: World
) -> None:
    plan = many.service.plan_job(
        Verb.REENCRYPT, Selection(filter=""), world.current_key.arn, JobOptions()
    ).plan
    everything = services.services.inventory.page(Query(""), limit=10_000).rows
    envelopes = [row for row in everything if row.format.protected]
    assert plan.unlisted
    assert plan.tokens == len(envelopes)
    assert sum(plan.by_column.values()) == len(envelopes)
    assert dict(plan.by_format) == {Format.V1: len(envelopes)}
    plain = sum(row.format is Format.PLAINTEXT for row in everything)
    assert f"{plain} tokens of format plaintext" in {u.reference for u in plan.refused}
    # What it goes by is the filter: its scope alone has no token in it.
    assert sum(services.store.count(plan.scope).values()) == 0
    other = Selection(filter="format:v1")
    assert (
        many.service.plan_job(Verb.REENCRYPT, other, world.current_key.arn, JobOptions()).plan.digest
        != plan.digest
    )


@pytest.mark.deep
def test_a_plan_of_many_says_what_lies_under_a_key_that_nobody_can_tell(
    many: Jobs, services: Container, world: World
) -> None:
    view = many.service.join_job(many.start(Selection(filter=f"{GITHUB} format:v1"), world.current_key.arn))
    # What is damaged was refused by name, whether or not a proof's sample has met it.
    refused = {one.reference for one in many.service.unwritten(view.job.id)}
    unknown = {r for r in rows(services, f"{GITHUB} format:v1 key:unknown") if str(r) not in refused}
    told = [remark for remark in view.remarks if "their key is unknown" in remark]
    assert bool(told) == bool(unknown)
    assert not unknown or told[0].startswith(f"{len(unknown)} token")


def test_a_plan_that_lists_nothing_is_refused_for_a_run_without_a_job(
    many: Jobs, services: Container, world: World
) -> None:
    plan = many.service.plan_job(
        Verb.REENCRYPT, Selection(filter=""), world.current_key.arn, JobOptions()
    ).plan
    with pytest.raises(RefusedError, match="Use a job"):
        services.services.work.run_plan(plan, Consent.by_option(plan))


def test_a_wrong_filter_is_refused_for_a_job_too(many: Jobs, world: World) -> None:
    with pytest.raises(InvalidFilterError):
        many.service.plan_job(
            Verb.REENCRYPT, Selection(filter="format:v9"), world.current_key.arn, JobOptions()
        )


def test_a_plan_is_given_up_once_nobody_waits_for_it(many: Jobs, services: Container, world: World) -> None:
    cancelled = Cancellation()
    cancelled.set()
    for selection in (
        Selection(filter=""),
        Selection(under_key=world.old_key.arn),
        Selection(everything=True),
    ):
        with pytest.raises(InterruptedRunError):
            many.service.plan_job(
                Verb.REENCRYPT, selection, world.current_key.arn, JobOptions(), cancelled=cancelled
            )
    assert [entry.outcome for entry in services.journal.entries()] == ["interrupted"] * 3


def test_a_filter_and_what_it_leaves_out_outlive_the_process_that_began(
    many: Jobs, services: Container, world: World
) -> None:
    odd = TokenRef("gh_connection", "access_token", "a\u202eb" + "c" * 300)
    selection = Selection(filter=f"{GITHUB} format:v1", except_for=(odd,))
    number = many.start(selection, world.current_key.arn)
    assert selection_of(many.parts.jobs.get(number)) == selection
