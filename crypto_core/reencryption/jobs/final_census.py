"""Ends a job: proves anew what is left, again and again, until it is nothing twice in a row.

Tokens that the platform wrote under the old key meanwhile become a new wave of chunks. Between the two last
proofs nobody may have sealed under the old key, as far as KMS (GetKeyLastUsage) and CloudTrail tell; what
can't be told is a remark on the job. Any process does the next step, under a lock of the job's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from enum import StrEnum
from threading import Event
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import clock
from crypto_core.database.state.jobs import DONE, FAILED, RUNNING, JobRow
from crypto_core.database.tokens.fresh_proof import FreshProof, left_out_decoys
from crypto_core.database.tokens.store import TokenScope
from crypto_core.database.tokens.tables import Picked
from crypto_core.guard.guarded_change import TEXT, Outcome
from crypto_core.keys.service import StatusService
from crypto_core.reencryption.bulk.batch_sink import PASSING
from crypto_core.reencryption.jobs.confirmed_terms import BEGIN, ConfirmedTerms, told_scope
from crypto_core.reencryption.jobs.parts import JobParts
from crypto_core.reencryption.jobs.writers import Writers
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.reencryption.planner import Planner
from crypto_core.values.counts import counted
from crypto_core.values.errors import KmsError, RefusedError
from crypto_core.values.key_names import same_key
from crypto_core.values.references import TokenRef

_log = logging.getLogger(__name__)

SETTLE_SECONDS = 10.0
"""How long at most after a proof that found nothing the next is made."""
LEAST_SETTLE_SECONDS = 1.0
MOST_ZEROES = 6
"""After so many proofs that found nothing, a key that is still sealed under no longer holds up the end."""
MOST_TRIES = 5
"""How often a token is tried that another try may write."""


class Closing(StrEnum):
    WAIT = "wait"
    """Others are at it, or it is too early."""
    MORE = "more"
    """There are chunks again."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class _Rest:
    """What is left to write: how many tokens, and what makes a wave of them."""

    scope: TokenScope
    tokens: int
    cut: Callable[[Connection, int], int]


_Tell = Callable[[Connection | None], None]
"""Journals something, in the transaction that is given."""
_Change = Callable[[Connection], _Tell | None]


@dataclass(frozen=True, slots=True)
class _Step:
    """What a step came to, and how that is written, if it is: first what takes long and locks no job."""

    closing: Closing
    change: _Change | None = None
    prepare: Callable[[Connection], None] = lambda connection: None


class Closer:
    """Closes jobs. Blocks on SQL and KMS."""

    def __init__(
        self,
        parts: JobParts,
        planner: Planner,
        status: StatusService,
        writers: Writers,
        *,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._engine, self._same_database = parts.engine, parts.same_database
        self._jobs, self._chunks, self._unwritable = parts.jobs, parts.chunks, parts.unwritable
        self._store, self._journal = parts.store, parts.journal
        self._confirmed = ConfirmedTerms(parts.journal)
        self._planner, self._status = planner, status
        self._writers = writers
        self._settle_seconds = settle_seconds

    def close_job(self, job_id: int, stop: Event, actor: str, runner: UUID | None = None) -> Closing:
        """Do the next step, if it is time. Raises KmsError, DatabaseError.

        Of processes at work on the job the first one does, `runner` being this one. What it reads and asks
        takes a while, and holds no connection: what comes of it is written where the job stands as it stood.
        `actor` is whom the journal names; see Journal.actor.
        """
        job = self._jobs.get(job_id)
        if job.state != RUNNING:
            return Closing.ENDED
        if runner is not None and not self._jobs.is_first(job_id, runner):
            return Closing.WAIT
        self._confirmed.require(job)
        step = self._tidied(job, actor)
        if step is None and not _repeats(job):
            step = self._ended(job, [], actor)
        elif step is None and (_too_early(job, self._settle_seconds) or stop.is_set()):
            return Closing.WAIT
        elif step is None:
            step = self._census(job, actor)
        return step.closing if self._written(job, step) else Closing.WAIT

    def _tidied(self, job: JobRow, actor: str) -> _Step | None:
        """What comes before a census, None if nothing does."""
        with connected(self._engine) as connection:
            left = self._chunks.left(connection, job.id, job.wave)
            passing = any(
                self._unwritable.has(connection, job.id, kind, attempts=MOST_TRIES) for kind in PASSING
            )
        if left:
            return _Step(Closing.WAIT)
        if _is_ahead(job):
            # The database's clock went back: how long ago that census was isn't known.
            return _Step(Closing.MORE, self._set(job, zeroes=0, zero_at=None))
        if passing:
            return _Step(Closing.MORE, lambda connection: self._reopen_passing(connection, job, actor))
        return None

    def _written(self, job: JobRow, step: _Step) -> bool:
        """Write what a step came to; False, and nothing is, where another process was at it meanwhile."""
        if step.change is None:
            return True
        with connected(self._engine, write=True, brief=self._same_database) as connection:
            step.prepare(connection)
            if not self._jobs.stands(connection, job) or self._chunks.left(connection, job.id, job.wave):
                connection.rollback()
                return False
            tell = step.change(connection)
            if tell is not None:
                # What a journal elsewhere can't be told is not done.
                tell(connection if self._same_database else None)
        return True

    def _set(self, job: JobRow, **values: Any) -> _Change:
        def change(connection: Connection) -> None:
            self._jobs.set(job.id, connection, **values)

        return change

    def keys_by_group(self) -> dict[bytes, str]:
        """Return the key of each key material group, as KMS says now. Raises KmsError, DatabaseError."""
        groups = self._proof().groups
        return {prefix: next(iter(named))[0] for prefix, named in groups.items() if len(named) == 1}

    def _reopen_passing(self, connection: Connection, job: JobRow, actor: str) -> _Tell | None:
        """Try those again whose rows were locked, or about which KMS contradicts itself."""
        refs = [
            ref
            for kind in PASSING
            for ref in self._unwritable.reopen(connection, job.id, kind, attempts=MOST_TRIES)
        ]
        if not refs:
            return None
        cut = self._chunks.cut_listed(connection, job.id, job.wave + 1, refs)
        return self._wave(connection, job, actor, cut, job.scope)

    def _census(self, job: JobRow, actor: str) -> _Step:
        rest = self._rest(job)
        if rest.tokens > 0:
            return self._again(job, rest, actor)
        zeroes = job.zeroes + 1
        if zeroes == 1:
            return _Step(Closing.WAIT, self._set(job, zeroes=1, zero_at=clock()))
        seen = self._writers.between(self._sources(job), job.zero_at or job.now)
        if seen.sealed and zeroes < MOST_ZEROES:
            _log.info("Job %d is not at its end: %s", job.id, seen.sealed)
            return _Step(Closing.WAIT, self._set(job, zeroes=zeroes, zero_at=clock()))
        remarks = [
            *seen.unknown,
            *([f"Still in use: {seen.sealed}"] if seen.sealed else []),
            *self._untold(job),
        ]
        return self._ended(job, remarks, actor, zeroes=zeroes)

    def _again(self, job: JobRow, rest: _Rest, actor: str) -> _Step:
        """A wave of what is left, unless the last one moved nothing."""
        with connected(self._engine) as connection:
            moves = job.wave == 1 or self._chunks.moved(connection, job.id, job.wave)
        if moves:
            tokens = 0

            def cut(connection: Connection) -> None:
                nonlocal tokens
                tokens = rest.cut(connection, job.wave + 1)

            def more(connection: Connection) -> _Tell:
                return self._wave(connection, job, actor, tokens, rest.scope.as_json())

            return _Step(Closing.MORE, more, cut)
        left = rest.tokens
        why = f"{counted(left, 'token')} can be neither written nor distinguished from those to write."

        def fail(connection: Connection) -> _Tell:
            self._jobs.change(job.id, FAILED, [RUNNING], why=why, connection=connection)
            return self._entry(job, Outcome.FAILED, {"why": why, "left": left}, actor)

        return _Step(Closing.ENDED, fail)

    def _wave(
        self, connection: Connection, job: JobRow, actor: str, tokens: int, scope: Mapping[str, Any]
    ) -> _Tell:
        wave = job.wave + 1
        self._jobs.set(job.id, connection, wave=wave, scope=scope, zeroes=0, zero_at=None)
        detail = {"wave": wave, "tokens": tokens, **told_scope(self._jobs.get(job.id, connection).scope)}
        return self._entry(job, Outcome.STARTED, detail, actor)

    def _ended(self, job: JobRow, remarks: list[str], actor: str, **values: Any) -> _Step:
        proof = self._proof(job.source_key_arn or "", everywhere=True)
        census = self._status.status_by(proof)
        remarks += left_out_decoys(proof.census.decoys)
        if not census.coverage.complete:
            remarks += [f"The census is not whole: {reason}" for reason in census.coverage.reasons]
        after = census.as_json() | {"proof": proof.as_json()}
        counts = self._jobs.counts([job.id]).get(job.id)
        detail = {
            "run_ended": True,
            "done": counts.done if counts else 0,
            "conflicts_retried": counts.conflicts if counts else 0,
            "poisoned": sum(counts.errors.values()) if counts else 0,
            "kms_calls": counts.kms_calls if counts else 0,
            "waves": job.wave,
            "remarks": remarks,
        }

        def end(connection: Connection) -> _Tell:
            self._jobs.set(job.id, connection, census_after=after, remarks=remarks, **values)
            self._jobs.change(job.id, DONE, [RUNNING], connection=connection)
            return self._entry(job, Outcome.DONE, detail, actor)

        return _Step(Closing.ENDED, end)

    def _entry(self, job: JobRow, outcome: Outcome, detail: Mapping[str, Any], actor: str) -> _Tell:
        whole = {"job": job.id, "run": str(job.run_id), "to": job.target_key_arn, **detail}

        def tell(connection: Connection | None) -> None:
            by = BEGIN if outcome is Outcome.STARTED else TEXT
            self._journal.record(
                *(job.verb, job.selection, outcome, whole), within=connection, actor=actor, by=by
            )

        return tell

    def _rest(self, job: JobRow) -> _Rest:
        """What is left to write, but for what can't be."""
        if selection_of(job).filter is None:
            scope = self._scope(job)
            left = self._store.count(scope).total() - self._given_up(job, scope)
            return _Rest(
                scope, left, lambda connection, wave: self._chunks.cut_scope(connection, job.id, wave, scope)
            )
        formats = scope_formats(Verb(job.verb))
        picked = [*self._planner.filtered(selection_of(job)).picked(formats)]
        if Verb(job.verb) is not Verb.ENCRYPT:
            beside = self._proof().scope_beside(job.target_key_arn, formats)
            picked = [self._store.narrowed(one, beside) for one in picked]

        def cut(connection: Connection, wave: int) -> int:
            return sum(self._chunks.cut_picked(connection, job.id, wave, one) for one in picked)

        return _Rest(TokenScope(formats), self._count_picked(job, picked), cut)

    def _count_picked(self, job: JobRow, picked: Iterable[Picked]) -> int:
        with connected(self._engine) as connection:
            return sum(self._chunks.count_picked(connection, job.id, one) for one in picked)

    def _untold(self, job: JobRow) -> list[str]:
        """What a filter's tokens leave unsaid: whether those of unknown keys were written since."""
        selection, verb = selection_of(job), Verb(job.verb)
        if selection.filter is None or verb is Verb.ENCRYPT:
            return []
        formats = scope_formats(verb)
        picked = [*self._planner.filtered(selection).picked(formats)]
        known = self._proof().scope_known(formats)
        told = [self._store.narrowed(one, known) for one in picked]
        number = self._count_picked(job, picked) - self._count_picked(job, told)
        if number <= 0:
            return []
        words = f"{counted(number, 'token')} that the filter lets through"
        return [f"{words}: their key is unknown. They were written once and not checked again."]

    def _scope(self, job: JobRow) -> TokenScope:
        """What is left to write: the selection as it is now; of all envelopes, those not under the target.

        Raises KmsError where KMS fails for now to say what keys tokens are under: none of them is overlooked.
        """
        selection, verb = selection_of(job), Verb(job.verb)
        if not selection.everything:
            try:
                resolved = self._planner.resolve_selection(verb, selection, job.target_key_arn)
            except RefusedError as error:
                if isinstance(error.__cause__, KmsError):
                    raise error.__cause__ from error
                raise KmsError(error.message, remedy=error.remedy) from error
            if resolved.failure is not None:
                raise resolved.failure
            scope = resolved.scope
        else:
            scope = self._proof().scope_beside(job.target_key_arn, verb.formats)
        return replace(scope, formats=scope_formats(verb))

    def _sources(self, job: JobRow) -> tuple[str, ...]:
        if job.source_key_arn is not None:
            return (job.source_key_arn,)
        # A filter empties no key: who else seals under one is not its concern.
        if Verb(job.verb) is Verb.ENCRYPT or selection_of(job).filter is not None:
            return ()
        before = (job.census_before or {}).get("keys", ())
        arns = dict.fromkeys(k["key_arn"] for k in before if k.get("key_arn"))
        return tuple(arn for arn in arns if not same_key(arn, job.target_key_arn))

    def _proof(self, about: str = "", *, everywhere: bool = False) -> FreshProof:
        proof = self._status.prove(about=about, everywhere=everywhere)
        if proof.failure is not None:
            raise proof.failure
        return proof

    def _given_up(self, job: JobRow, scope: TokenScope) -> int:
        with connected(self._engine) as connection:
            pages = list(self._unwritable.pages(connection, job.id))
        left = (self._store.count(replace(scope, references=tuple(refs))) for refs in pages)
        return sum(found.total() for found in left)


def scope_formats(verb: Verb) -> frozenset[Any]:
    """Return the formats that a job takes: what is bound to the key that it names is not rewrapped."""
    return frozenset(f for f in verb.formats if verb is not Verb.REWRAP or not f.names_key)


def selection_as_json(selection: Selection) -> dict[str, Any]:
    """Return what a later process needs to look again."""
    return {
        "under_key": selection.under_key,
        "everything": selection.everything,
        "unprotected": selection.unprotected,
        "filter": selection.filter,
        "except_for": [list(astuple(ref)) for ref in selection.except_for],
    }


def selection_of(job: JobRow) -> Selection:
    """Return a job's selection, as far as it can be looked up again."""
    told = job.plan.get("selected", {})
    return Selection(
        under_key=told.get("under_key"),
        everything=bool(told.get("everything")),
        unprotected=bool(told.get("unprotected")),
        filter=told.get("filter"),
        except_for=tuple(TokenRef(*parts) for parts in told.get("except_for", ())),
    )


def _repeats(job: JobRow) -> bool:
    """True where looking again finds only what is left; tokens named one by one are not looked for."""
    selection = selection_of(job)
    again = selection.under_key or selection.everything or selection.unprotected
    return bool(again or selection.filter is not None) and job.restores is None


def _is_ahead(job: JobRow) -> bool:
    return job.zero_at is not None and job.zero_at > job.now


def _too_early(job: JobRow, settle_seconds: float) -> bool:
    if job.zero_at is None or not job.zeroes:
        return False
    return (job.now - job.zero_at).total_seconds() < quiet_seconds(job, settle_seconds)


def quiet_seconds(job: JobRow, most: float = SETTLE_SECONDS) -> float:
    """Return for how long nobody must have written before the next proof.

    As long as the job took, within limits: a writer who takes longer is seen by no second proof. The most
    there is, once somebody was seen to seal after a proof.
    """
    if job.zero_at is None or job.zeroes > 1:
        return most
    took = (job.zero_at - (job.started_at or job.created_at)).total_seconds()
    return min(most, max(LEAST_SETTLE_SECONDS, took))
