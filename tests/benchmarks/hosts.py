"""Three hosts at one job: each alone, then together, two of them cut off for a while.

    python -m tests.benchmarks.hosts [--json] [--rate N] [--lost]

Each host is a network namespace with a line of its own (tests/hosts.py) to PostgreSQL and the fake KMS
(fake_kms.py): 10 ms each way, 0.5 % of the packets lost. A runner is `keydeck jobs join`. Alone, each works
on a job of `--rate` KMS calls a second, so few that two cores carry all of it; together, on one job of three
times that rate. Chunks have 500 tokens, which last as long here as the 5,000 of a job at full rate. Then two
are cut off in the middle of a batch: one's packets are dropped, so that it hears nothing, the other's link is
down. Both stay so until another host has their chunks, and 20 seconds at least, and are then let back.
`--lost` leaves the rates out: what remains is what a test runs.

Lost is a token that isn't under the new key, doesn't open to what it was, or was written or backed up more
than once; a chunk that is left; a count that differs from what was written; a journal that doesn't verify.
What is left then is written as fast as can be; processor time is that part's, from /proc. Without root or
network namespaces it measures nothing, and says so. Exit status 1 if a target is missed.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg2

from console.sandbox.sandbox import Sandbox
from tests.benchmarks.bulk import TOKEN
from tests.benchmarks.bulk_jobs import platform
from tests.benchmarks.fake_kms import NEW, OLD, FakeKms, data_key_of, material_of
from tests.benchmarks.measuring import Target, options, print_json, report
from tests.hosts import CENTRE, Hosts, missing

HOSTS, DELAY_MS, LOSS, LATENCY_MS = 3, 10.0, 0.005, 1.5
CUT_SECONDS, ALONE_SECONDS, TOGETHER_SECONDS = 20.0, 4.0, 6.0
CHUNK = 500
PATIENCE_SECONDS = 300.0
SHARE = 0.9
"""Target: the rate of three in the sum of what each does alone."""
LEASE_SECONDS, BACK_SECONDS = 15.0, 15.0
"""Targets: when the chunk of a host that is cut off is free to others, and when one that is back writes."""
_MET_AT_ONCE = 1.0


@dataclass(slots=True)
class Measured:
    """What was measured. Rates are tokens a second, times seconds, processor times µs a token."""

    alone: list[float] = field(default_factory=list)
    together: float = 0.0
    after: float = 0.0
    free_after: float = 0.0
    taken_after: list[float] = field(default_factory=list)
    back_after: list[float] = field(default_factory=list)
    runner_cpu_us: float = 0.0
    database_cpu_us: float = 0.0
    lost: list[str] = field(default_factory=list)
    tokens: int = 0
    packets_lost: int = 0


class Scene:
    def __init__(self, hosts: Hosts, sandbox: Sandbox, settings: dict[str, str]) -> None:
        from console.container import Container
        from console.settings import load
        from crypto_core.database.state.installation import install

        self.hosts = hosts
        self._sandbox = sandbox
        self._connection = psycopg2.connect(sandbox.superuser_url)
        self._connection.autocommit = True
        os.environ.clear()
        os.environ.update(settings)
        self.container = Container(load().settings)
        install(self.container.engine)
        there = settings["DATABASE_URL"].replace("127.0.0.1", CENTRE)
        self._environment = settings | {"DATABASE_URL": there, "KEYDECK_STATE_URL": ""}

    def close(self) -> None:
        self.container.close()
        self._connection.close()

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def start_job(self, rate: float) -> int:
        """Make a job over what is under the old key; nobody works on it yet."""
        from crypto_core.database.tokens.chunks import ChunkStore
        from crypto_core.guard.consent import Consent
        from crypto_core.reencryption.jobs.model import JobOptions
        from crypto_core.reencryption.plan import Selection, Verb

        jobs, wanted = self.container.tokens.jobs, JobOptions(rate, accepted=("*",))
        ChunkStore.cut_scope.__kwdefaults__["size"] = CHUNK
        plan = jobs.plan_job(Verb.REENCRYPT, Selection(under_key=OLD), NEW, wanted)
        return jobs.start_job(plan, Consent.by_option(plan))

    def join(self, host: int, job: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "console", "jobs", "join", str(job), "--json"]
        process = self.hosts.start(host, command, self._environment)
        Thread(target=process.stdout.read, daemon=True).start()  # type: ignore[union-attr]
        return process

    def written(self) -> int:
        return int(self.rows("SELECT coalesce(sum(done), 0) FROM keydeck.job_chunk")[0][0])

    def rate_over(self, seconds: float) -> float:
        before, began = self.written(), time.monotonic()
        time.sleep(seconds)
        return (self.written() - before) / (time.monotonic() - began)

    def until(self, sql: str, *values: Any, patience: float = PATIENCE_SECONDS) -> None:
        deadline = time.monotonic() + patience
        while not self.rows(sql, *values)[0][0]:
            if time.monotonic() > deadline:
                chunks = (
                    "SELECT state, attempt, runner_id, sum(done), max(lease_until) FROM keydeck.job_chunk"
                )
                stand = self.rows(f"{chunks} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3")
                jobs = self.rows("SELECT state, calls_per_second, clock_timestamp() FROM keydeck.job")
                raise TimeoutError(f"{sql}: {jobs}, {stand}")
            time.sleep(0.02)

    def until_all_write(self, job: int, hosts: int) -> None:
        self.until(
            "SELECT count(DISTINCT runner_id) >= %s FROM keydeck.job_chunk WHERE job_id = %s AND done > 0",
            *(hosts, job),
        )

    def runner_of(self, job: int, process: subprocess.Popen[str]) -> str:
        found = self.rows(
            "SELECT id FROM keydeck.job_runner WHERE job_id = %s AND pid = %s", job, process.pid
        )
        return str(found[0][0])

    def until_in_batch(self, host: int) -> None:
        """Wait until a host's session has written rows and not yet committed."""
        self.until(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE host(client_addr) = %s AND state = "
            "'idle in transaction' AND query LIKE '%%UPDATE public.gh_connection%%')",
            Hosts.address(host),
        )

    def database_cpu_seconds(self) -> float:
        pid = self._sandbox.postgres.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return cpu_seconds(pid, ended_children=True) + sum(cpu_seconds(int(child)) for child in children)


def cpu_seconds(pid: int | None, *, ended_children: bool = False) -> float:
    """Processor time of a process, if asked with that of children that have ended; 0 for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11 : 15 if ended_children else 13])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def scene(tokens: int) -> Iterator[Scene]:
    """Three hosts, a database with so many tokens under the old key, and the fake KMS, in namespaces."""
    with (
        Hosts.joined(HOSTS, delay_ms=DELAY_MS, loss=LOSS) as hosts,
        kms() as url,
        platform(tokens, url) as (sandbox, settings),
    ):
        with closing(psycopg2.connect(sandbox.superuser_url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SHOW hba_file")
                with Path(cursor.fetchall()[0][0]).open("a", encoding="ascii") as file:
                    file.write(f"host all all {CENTRE}/24 scram-sha-256\n")
                cursor.execute("ALTER SYSTEM SET listen_addresses = '*'")
        sandbox.postgres.restart()
        with closing(Scene(hosts, sandbox, settings)) as made:
            yield made


@contextmanager
def kms() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.hosts", "--kms"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://{CENTRE}:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait()


async def serve_kms() -> None:
    FakeKms.seconds = LATENCY_MS / 1000
    loop = asyncio.get_running_loop()
    server = await loop.create_server(FakeKms, "0.0.0.0", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def each_alone(made: Scene, measured: Measured, rate: float) -> None:
    for host in range(HOSTS):
        job = made.start_job(rate)
        process = made.join(host, job)
        made.until_all_write(job, 1)
        time.sleep(1)
        measured.alone.append(made.rate_over(ALONE_SECONDS))
        made.container.tokens.jobs.cancel_job(job)
        process.wait(PATIENCE_SECONDS)


def all_together(made: Scene, measured: Measured, rate: float, *, rates: bool) -> None:
    """All hosts at one job, two of them cut off in the middle and back."""
    job = made.start_job(rate)
    processes = [made.join(host, job) for host in range(HOSTS)]
    made.until_all_write(job, HOSTS)
    if rates:
        time.sleep(1)
        measured.together = made.rate_over(TOGETHER_SECONDS)
    _cut_off_and_back(made, measured, job, processes)
    if rates:
        made.until_all_write(job, HOSTS)
        time.sleep(1)
        measured.after = made.rate_over(TOGETHER_SECONDS)
    _go_fast(made, measured, job, processes)
    ended = [process.wait(PATIENCE_SECONDS) for process in processes]
    measured.lost += [f"host {host}: exit code {code}" for host, code in enumerate(ended) if code]
    _look(made, measured, job)


def _cut_off_and_back(
    made: Scene, measured: Measured, job: int, processes: list[subprocess.Popen[str]]
) -> None:
    hosts, cut = made.hosts, [made.runner_of(job, process) for process in processes[:2]]
    held = "SELECT id FROM keydeck.job_chunk WHERE job_id = %s AND runner_id = %s AND state = 'taken'"
    chunks = []
    for host, runner in enumerate(cut):
        made.until(f"SELECT EXISTS ({held})", job, runner)
        made.until_in_batch(host)
        if host:
            hosts.set_link(host, up=False)
        else:
            hosts.cut.add(host)
        chunks += [row[0] for row in made.rows(held, job, runner)]
    began = time.monotonic()
    free = "SELECT bool_and(state = 'open' OR lease_until < clock_timestamp() OR attempt > 1) "
    made.until(f"{free} FROM keydeck.job_chunk WHERE id = ANY (%s)", chunks)
    measured.free_after = time.monotonic() - began
    for chunk in chunks:
        made.until(
            "SELECT attempt > 1 AND runner_id <> ALL (CAST(%s AS uuid[])) "
            "FROM keydeck.job_chunk WHERE id = %s",
            *(cut, chunk),
        )
        measured.taken_after.append(time.monotonic() - began)
    time.sleep(max(CUT_SECONDS - (time.monotonic() - began), 0))
    more = "SELECT coalesce(sum(done), 0) FROM keydeck.job_chunk WHERE runner_id = %s"
    ended = "SELECT state <> 'running' FROM keydeck.job WHERE id = %s"
    had = [made.rows(more, runner)[0][0] for runner in cut]
    began = time.monotonic()
    hosts.cut.clear()
    hosts.set_link(1, up=True)
    for runner, before in zip(cut, had, strict=True):
        made.until(f"SELECT ({more}) > %s OR ({ended})", runner, before, job)
        measured.back_after.append(time.monotonic() - began)


def _go_fast(made: Scene, measured: Measured, job: int, processes: list[subprocess.Popen[str]]) -> None:
    """Let the rest be written as fast as it can be, and measure the processor time that it takes."""
    runners, database, written = sum(map(_cpu_of, processes)), made.database_cpu_seconds(), made.written()
    made.rows("UPDATE keydeck.job SET calls_per_second = 1000000 WHERE id = %s", job)
    made.until("SELECT bool_and(state = 'done') FROM keydeck.job_chunk WHERE job_id = %s", job)
    tokens = max(made.written() - written, 1)
    measured.runner_cpu_us = (sum(map(_cpu_of, processes)) - runners) / tokens * 1e6
    measured.database_cpu_us = (made.database_cpu_seconds() - database) / tokens * 1e6


def _cpu_of(process: subprocess.Popen[str]) -> float:
    return cpu_seconds(process.pid)


def _look(made: Scene, measured: Measured, job: int) -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from crypto_core.envelope import parse

    view, lost = made.container.tokens.jobs.show_job(job), measured.lost
    if not view.complete or view.remaining:
        lost.append(
            f"the job is {view.state.value}: {view.why} {view.remaining} left, {view.poisoned} not written"
        )
    rows = made.rows("SELECT id, access_token FROM gh_connection")
    measured.tokens = len(rows)
    for row_id, stored in rows:
        envelope = parse(stored)
        blob = envelope.encrypted_data_key
        if blob[5:37] != material_of(NEW):
            lost.append(f"{row_id} is not under the new key")
        elif AESGCM(data_key_of(blob)).decrypt(envelope.nonce, envelope.ciphertext, None).decode() != TOKEN:
            lost.append(f"{row_id} opens to something else")
    ((backups, different),) = made.rows(
        "SELECT count(*), count(DISTINCT row_id) FROM keydeck.envelope_backup"
    )
    ((counted, left),) = made.rows(
        "SELECT sum(c.done), count(*) FILTER (WHERE c.state <> 'done' AND j.state <> 'cancelled') "
        "FROM keydeck.job_chunk c JOIN keydeck.job j ON j.id = c.job_id"
    )
    if not backups == different == counted == len(rows):
        lost.append(f"{len(rows)} tokens, {counted} counted, {backups} backups of {different}")
    if left:
        lost.append(f"{left} chunks are left")
    if (broken := made.container.journal.verify()) is not None:
        lost.append(f"the journal does not verify: {broken}")


def targets(measured: Measured, *, rates: bool) -> Iterator[Target]:
    if rates:
        alone, limit = sum(measured.alone), 1 / SHARE
        yield Target("three hosts, time a token in that of the sum", alone / measured.together, limit, "")
        yield Target("the same once two are back", alone / measured.after, limit, "")
    free = "a chunk of a host that is cut off is free to others after"
    yield Target(free, measured.free_after, LEASE_SECONDS + _MET_AT_ONCE, "s")
    yield Target("a host that is back writes after", max(measured.back_after), BACK_SECONDS, "s")
    yield Target("lost, written twice, or not opening", len(measured.lost), 1, "")


def main() -> int:
    if sys.argv[1:] == ["--kms"]:
        asyncio.run(serve_kms())
        return 0
    parser = options("Three hosts at one job, two of them cut off for a while.", rounds=1)
    parser.add_argument("--rate", type=float, default=400.0, metavar="N", help="KMS calls a second of a host")
    parser.add_argument("--tokens", type=int, default=0, metavar="N", help="tokens [as many as it takes]")
    parser.add_argument("--lost", action="store_true", help="cut two off, and measure no rates")
    chosen = parser.parse_args()
    why = missing()
    if why:
        # No target is met by that.
        print_json({"not_measured": why, "targets": []}) if chosen.json else print(f"Not measured: {why}.")
        return 0
    rates, measured = not chosen.lost, Measured()
    seconds = CUT_SECONDS + 15 + rates * (HOSTS * (ALONE_SECONDS + 3) / HOSTS + 2 * TOGETHER_SECONDS)
    tokens = chosen.tokens or int(seconds * HOSTS * chosen.rate / 2)
    with scene(tokens) as made:
        if rates:
            each_alone(made, measured, chosen.rate)
        all_together(made, measured, HOSTS * chosen.rate, rates=rates)
        measured.packets_lost = made.hosts.lost
    rows = [(f"{host + 1} alone", rate) for host, rate in enumerate(measured.alone)]
    rows += [("all together", measured.together), ("once two are back", measured.after)] if rates else []
    told = (measured.taken_after, measured.back_after)
    taken, back = (", ".join(f"{one:.1f}" for one in some) for some in told)
    runners, database = measured.runner_cpu_us, measured.database_cpu_us
    return report(
        list(targets(measured, rates=rates)),
        ("Hosts", "tokens/s"),
        [(name, f"{rate:,.0f}") for name, rate in rows],
        as_json=chosen.json,
        packages=("aiohttp", "psycopg2-binary"),
        notes=[
            f"{measured.tokens:,} tokens, {measured.packets_lost:,} packets lost.",
            f"Others had the chunks {taken} s after the cut; who was back wrote after {back} s.",
            f"Processor at full rate: {runners:,.0f} µs a token in runners, {database:,.0f} in PostgreSQL.",
            *(f"LOST  {lost}" for lost in measured.lost[:20]),
        ],
        measured=asdict(measured),
    )


if __name__ == "__main__":
    raise SystemExit(main())
