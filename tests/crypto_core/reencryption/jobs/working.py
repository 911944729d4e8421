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
from crypto_core.database.state.jobs import JobStore
from crypto_core.database.tokens.attribution import Attributor
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.chunks import ChunkStore
from crypto_core.database.tokens.inventory import Inventory
from crypto_core.database.tokens.job_tokens import UnwritableStore
from crypto_core.database.tokens.store import StoredToken
from crypto_core.guard.consent import Consent
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.keyring.preflight import Preflight
from crypto_core.keys.replacement import Compared, UseWitness
from crypto_core.reencryption.bulk.engine import AskKms, Engine, open_engine
from crypto_core.reencryption.bulk.ports import Outcome, TokenPages, TokenSink
from crypto_core.reencryption.bulk.transport import CallSample
from crypto_core.reencryption.jobs.final_census import Closer
from crypto_core.reencryption.jobs.job_plan import JobPlanner
from crypto_core.reencryption.jobs.model import CompareAccess, JobOptions
from crypto_core.reencryption.jobs.parts import JobParts
from crypto_core.reencryption.jobs.runner import JobRunner
from crypto_core.reencryption.jobs.service import JobService
from crypto_core.reencryption.jobs.undo import Undoing
from crypto_core.reencryption.jobs.writers import Writers
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.reencryption.planner import Planner


@dataclass(slots=True)
class SlowWork:
    """Passes tokens one by one. `before` is called before each; KMS was asked about those in `sealed`."""

    batch: int = 3
    before: Callable[[], None] = lambda: None
    sealed: list[StoredToken] = field(default_factory=list)
    pace_told: float = 0.0
    calls: int = 0
    _engine: Engine = field(init=False)

    @contextmanager
    def opened(self, keyring: KmsKeyring, quota: int) -> Iterator[SlowWork]:
        with open_engine()(keyring, quota) as self._engine:
            yield self

    def pass_tokens(self, pages: TokenPages, sink: TokenSink, ask: AskKms, stop: Event) -> None:
        while not stop.is_set() and (page := list(pages.next())):
            while page and not stop.is_set():
                some, page = page[: self.batch], page[self.batch :]
                outcomes = [self._one(token, ask) for token in some if not stop.is_set()]
                changed = sink.commit(outcomes)
                page += pages.again(changed) if changed else []

    def set_rate(self, limit: float, fellows: float) -> None:
        self.pace_told = limit

    def hold_back(self, waits: bool, /) -> None:
        """Nothing: it has no replicas."""

    def take_sample(self) -> CallSample:
        return CallSample(calls=1, p50_ms=1.0, p99_ms=2.0)

    def _one(self, token: StoredToken, ask: AskKms) -> Outcome:
        self.before()
        self.sealed.append(token)

        async def asked() -> Outcome:
            return await ask(token, kms=self._engine.kms)

        outcome = self._engine.loop.run(asked())
        self.calls += outcome.kms_calls
        return outcome


@dataclass(frozen=True, slots=True)
class Jobs:
    service: JobService
    undoing: Undoing
    parts: JobParts
    work: SlowWork

    def start(self, selection: Selection, target: str, verb: Verb = Verb.REENCRYPT) -> int:
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
        container.status.unseen,
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
    work = SlowWork()

    def runner() -> JobRunner:
        return JobRunner(parts, closer, work.opened, lease_seconds=lease_seconds)  # type: ignore[arg-type]

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
