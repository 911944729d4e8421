"""Jobs over the services of a test, with a pipeline that asks KMS one token after the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from time import sleep

from console.container import Container
from console.settings import load
from crypto_core.cipher import SealedToken, TokenCipher
from crypto_core.database.state.jobs import JobStore
from crypto_core.database.tokens.attribution import Attributor
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.chunks import ChunkStore
from crypto_core.database.tokens.inventory import Inventory
from crypto_core.database.tokens.job_tokens import UnwritableStore
from crypto_core.database.tokens.store import Replacement, StoredToken
from crypto_core.envelope import DEV_KEY, Format
from crypto_core.errors import EnvelopeError, IncorrectKeyError, InvalidCiphertextError, UntrustedKeyError
from crypto_core.guard.consent import Consent
from crypto_core.keyring.preflight import Preflight
from crypto_core.keys.replacement.witness import UseWitness
from crypto_core.reencryption.bulk.ports import Outcome, Poison, Sealed, TokenPages, TokenSink, TokenTask
from crypto_core.reencryption.bulk.watch import CallSample
from crypto_core.reencryption.jobs.final_census import Closer
from crypto_core.reencryption.jobs.job_plan import JobPlanner
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.jobs.parts import JobParts
from crypto_core.reencryption.jobs.ports import CompareAccess, Compared
from crypto_core.reencryption.jobs.restore_chunks import restoring
from crypto_core.reencryption.jobs.runner import JobRunner
from crypto_core.reencryption.jobs.service import JobService
from crypto_core.reencryption.jobs.undo import Undoing
from crypto_core.reencryption.jobs.writers import Writers
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.reencryption.planner import Planner


@dataclass(slots=True)
class SlowWork:
    """Writes tokens one by one. `before` is called before each, `sealed` counts what was asked of KMS."""

    container: Container
    batch: int = 3
    before: Callable[[], None] = lambda: None
    sealed: list[StoredToken] = field(default_factory=list)
    pace_told: float = 0.0

    def write_chunk(self, pages: TokenPages, sink: TokenSink, order: TokenTask, stop: Event) -> None:
        while not stop.is_set() and (page := list(pages.next())):
            while page and not stop.is_set():
                some, page = page[: self.batch], page[self.batch :]
                outcomes = [self._one(token, order) for token in some if not stop.is_set()]
                changed = sink.commit(outcomes).changed
                page += pages.again(changed) if changed else []

    def set_rate(self, limit: float, fellows: float) -> None:
        self.pace_told = limit

    def hold_back(self, waits: bool, /) -> None:
        """Nothing: it has no replicas."""

    def take_sample(self) -> CallSample:
        return CallSample(calls=1, p50_ms=1.0, p99_ms=2.0)

    def _one(self, token: StoredToken, order: TokenTask) -> Outcome:
        self.before()
        self.sealed.append(token)
        source = order.source
        names = [order.target, *([source] if source else order.keys.values())]
        cipher = TokenCipher(self.container.keyring.trusting(*names), write_format=order.write_format)
        try:
            sealed = _sealed(cipher, token, order)
        except (IncorrectKeyError, UntrustedKeyError) as error:
            return Poison(token, "incorrect-key", error.message, 1)
        except InvalidCiphertextError as error:
            return Poison(token, "invalid-ciphertext", error.message, 1)
        except EnvelopeError as error:
            return Poison(token, "damaged", error.message, 1)
        return Sealed(Replacement(token, sealed.stored, sealed.source), 2)


def _sealed(cipher: TokenCipher, token: StoredToken, order: TokenTask) -> SealedToken:
    stored = token.value.reveal()
    if order.verb is Verb.REWRAP:
        return cipher.rewrap(stored, order.target, order.source, ref=token.ref)
    if order.verb is Verb.REENCRYPT:
        return cipher.reencrypt(stored, order.target, order.source, ref=token.ref)
    if token.format is Format.DEV:
        return cipher.encrypt_dev(stored, DEV_KEY, order.target, ref=token.ref)
    return cipher.encrypt(token.value, order.target, ref=token.ref)


@dataclass(frozen=True, slots=True)
class Jobs:
    """The job service of a test, and what it is made of."""

    service: JobService
    undoing: Undoing
    parts: JobParts
    work: SlowWork

    def start(self, selection: Selection, target: str, verb: Verb = Verb.REENCRYPT) -> int:
        """Plan and start a job, agreed to."""
        plan = self.service.plan_job(verb, selection, target, JobOptions())
        return self.service.start_job(plan, Consent.by_option(plan, plan.unagreed))


def jobs_of(
    container: Container,
    *,
    lease_seconds: float = 15.0,
    settle_seconds: float = 0.0,
    witness: UseWitness | None = None,
    compare: CompareAccess = lambda *_: Compared(),
    in_use: tuple[str, ...] = (),
) -> Jobs:
    """Jobs over the services of a test."""
    answers = AttributionCache(container.engine)
    attributor = Attributor(container.store, container.keyring, answers)
    chunks = ChunkStore(container.engine, container.store)
    unwritable, jobs = UnwritableStore(container.engine), JobStore(container.engine)
    keys, status = container.services.keys, container.services.status
    planner = Planner(
        container.catalogue,
        Inventory(container.engine, container.catalogue, answers, aliases=container.keys.known_aliases),
        answers,
        container.store,
        attributor,
        keys,  # type: ignore[arg-type]  # what the container made
        container.keyring.trusted,
        preflight=Preflight(container.kms),
        prover=container.status.prover,
    )
    parts = JobParts(
        container.engine,
        jobs,
        chunks,
        unwritable,
        container.store,
        answers,
        attributor,
        container.journal,
        True,
    )
    writers = Writers(keys, witness)  # type: ignore[arg-type]
    closer = Closer(
        parts,
        planner,
        status,  # type: ignore[arg-type]
        writers,
        settle_seconds=settle_seconds,
    )
    work = SlowWork(container)

    @contextmanager
    def opened() -> Iterator[SlowWork]:
        yield work

    put_back = restoring(container.engine, container.keyring)

    def runner() -> JobRunner:
        return JobRunner(parts, closer, opened, put_back, lease_seconds=lease_seconds)

    service = JobService(
        parts,
        JobPlanner(planner, container.store, compare, lambda: in_use),
        runner,
        status,  # type: ignore[arg-type]
        read_only=container.settings.read_only,
    )
    undoing = Undoing(parts, keys, read_only=container.settings.read_only)  # type: ignore[arg-type]
    return Jobs(service, undoing, parts, work)


def main(job: int, pause_ms: int, lease_seconds: float) -> None:
    """Join a job in a process of its own, waiting before each token."""
    container = Container(load().settings)
    made = jobs_of(container, lease_seconds=lease_seconds)
    made.work.before = lambda: sleep(pause_ms / 1000)
    made.work.batch = 1
    print("joins", os.getpid(), flush=True)
    made.service.join_job(job)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
