"""What a job over so many tokens comes to: by what this estate tells of itself, by benchmarks, what if."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.table_figures import DatabaseFigures, TableFigures, read_figures
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.reencryption.bulk.quota import DOLLARS_PER_CALL
from crypto_core.reencryption.jobs.model import JobPlan
from crypto_core.reencryption.plan import Verb
from crypto_core.reencryption.scale.figures import (
    BACKUP_EXTRA_BYTES,
    BATCH_TOKENS,
    BULK_JOBS,
    DEAD_SHARE,
    HOSTS,
    HOT_SHARE,
    IMAGES,
    ROOMY,
    WAL,
    WAL_BYTES,
    WAL_ENVELOPES,
    Basis,
    Figure,
)
from crypto_core.reencryption.scale.figures import CPU_US as CPU_US_MEASURED
from crypto_core.reencryption.scale.figures import DATABASE_CPU_US as DATABASE_CPU_US_MEASURED
from crypto_core.reencryption.scale.figures import ENVELOPE_BYTES as ENVELOPE_BYTES_MEASURED
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError
from crypto_core.values.json_records import JsonRecord, made, shape
from crypto_core.values.key_names import region_of


@dataclass(frozen=True, slots=True)
class Forecaster:
    """Makes forecasts. Blocks on SQL, and reads nothing but the catalogue and statistics."""

    catalogue: LiveCatalogue

    def of_job(self, plan: JobPlan, supposed: Mapping[str, float] | None = None) -> Forecast:
        """Return what a job would take, with some figures `supposed`. Raises DatabaseError, SettingsError."""
        given = dict(supposed or {})
        require_supposable(given)
        columns = [TokenColumn.named(name) for name in plan.plan.by_column]
        database = read_figures(self.catalogue, columns)
        figures = _figures(plan, database, given)
        by_table: dict[str, float] = {}
        times = figures[TOKENS].value / plan.plan.tokens if plan.plan.tokens else 0.0
        for name, tokens in plan.plan.by_column.items():
            table = TokenColumn.named(name).table
            by_table[table] = by_table.get(table, 0.0) + tokens * times
        return forecast(figures, database, by_table, plan.plan.verb)


def require_supposable(supposed: Mapping[str, float]) -> None:
    """Raise SettingsError for a name that is none, or a number that isn't above 0."""
    for name, value in supposed.items():
        if name not in SUPPOSABLE:
            raise SettingsError(
                f"{clean(name, 60)!r} can't be supposed.", remedy=f"Possible: {', '.join(SUPPOSABLE)}."
            )
        if not 0 < value < 1e18:
            raise SettingsError(f"{name} must be a number above 0.")


def _figures(plan: JobPlan, database: DatabaseFigures, supposed: Mapping[str, float]) -> dict[str, Figure]:
    verb, region = plan.plan.verb, region_of(plan.plan.target_key_arn) or "the Region"
    calls = verb.calls_per_token(ask_kms=plan.options.ask_kms)
    quota = supposed.get(QUOTA, plan.quota)
    chosen = plan.options.calls_per_second
    envelope = _envelope(plan, database)
    known = [
        Figure(TOKENS, plan.plan.tokens, "", Basis.ESTATE, "counted by this plan"),
        Figure(QUOTA, quota, "calls/s", Basis.DOCUMENTED, f"AWS's default for {region}"),
        Figure(
            RATE,
            chosen or quota * plan.quota_share,
            "calls/s",
            Basis.SUPPOSED if chosen else Basis.ASSUMED,
            "--rate" if chosen else f"auto: production leaves {plan.quota_share:.0%} of the quota",
        ),
        Figure(CALLS, calls, "", Basis.DOCUMENTED, "what this job asks KMS for a token"),
        Figure(CORES, os.cpu_count() or 1, "a host", Basis.ASSUMED, "as many as this host has"),
        Figure(CPU_US, CPU_US_MEASURED, "µs a token", Basis.BENCHMARK, BULK_JOBS),
        Figure(DATABASE_CPU_US, DATABASE_CPU_US_MEASURED, "µs a token", Basis.BENCHMARK, HOSTS),
        envelope,
        _backup(database, supposed.get(ENVELOPE_BYTES, envelope.value)),
    ]
    return {
        one.name: Figure(one.name, supposed[one.name], one.unit, Basis.SUPPOSED, "--suppose")
        if one.name in supposed
        else one
        for one in known
    }


def _envelope(plan: JobPlan, database: DatabaseFigures) -> Figure:
    """The mean over the job's columns of whose values pg_stats tells the length."""
    told = {
        f"{table.name}.{column}": width
        for table in database.tables
        for column, width in table.envelope_bytes.items()
    }
    tokens = {name: number for name, number in plan.plan.by_column.items() if name in told}
    if all_tokens := sum(tokens.values()):
        mean = sum(told[name] * number for name, number in tokens.items()) / all_tokens
        return Figure(ENVELOPE_BYTES, mean, "B", Basis.ESTATE, "pg_stats.avg_width")
    return Figure(ENVELOPE_BYTES, ENVELOPE_BYTES_MEASURED, "B", Basis.BENCHMARK, BULK_JOBS)


def _backup(database: DatabaseFigures, envelope_bytes: float) -> Figure:
    if database.backup_bytes is not None:
        return Figure(
            BACKUP_BYTES, database.backup_bytes, "B", Basis.ESTATE, "size of keydeck.envelope_backup"
        )
    return Figure(BACKUP_BYTES, envelope_bytes + BACKUP_EXTRA_BYTES, "B", Basis.BENCHMARK, WAL)


TOKENS, QUOTA, RATE, CALLS = "tokens", "quota", "rate", "calls-per-token"
CORES, CPU_US, DATABASE_CPU_US = "cores", "cpu-us", "database-cpu-us"
ENVELOPE_BYTES, BACKUP_BYTES = "envelope-bytes", "backup-bytes"

SUPPOSABLE = (TOKENS, QUOTA, RATE, CORES, CPU_US, DATABASE_CPU_US, ENVELOPE_BYTES, BACKUP_BYTES)
"""What an operator may give instead of what is known."""


@dataclass(frozen=True, slots=True)
class Result(JsonRecord):
    name: str
    value: float
    unit: str
    advice: str

    json_shape = shape("name value unit advice", value=made(float, lambda record: round(record.value, 4)))


@dataclass(frozen=True, slots=True)
class Forecast(JsonRecord):
    """What a job takes, and the figures that this was reckoned from."""

    results: tuple[Result, ...]
    figures: tuple[Figure, ...]

    def __getitem__(self, name: str) -> float:
        return next(one.value for one in self.results if one.name == name)


@dataclass(frozen=True, slots=True)
class TableShare:
    table: TableFigures
    tokens: float

    @property
    def hot(self) -> float:
        """The part of its updates that stay in their page, and write to no index."""
        if self.table.token_indexes:
            return 0.0
        return 1.0 if self.table.fillfactor <= ROOMY else HOT_SHARE

    @property
    def dead(self) -> float:
        """Dead rows that the job leaves for vacuum."""
        return self.tokens * (1.0 if self.table.token_indexes else DEAD_SHARE)

    @property
    def index_writes(self) -> float:
        return self.tokens * self.table.indexes * (1 - self.hot)

    def row_bytes(self, envelope_bytes: float) -> float:
        """What a row takes: by the table's size, or no less than its envelope where it was never analysed."""
        rows = self.table.rows
        return self.table.heap_bytes / rows if rows else envelope_bytes

    def growth(self, envelope_bytes: float) -> float:
        """Bytes that it is larger by afterwards; where no update stays in its page, until vacuum comes."""
        moved = self.tokens * (1 - self.hot)
        if self.table.token_indexes and self.table.vacuum_at is not None and self.table.rows:
            moved = min(moved, self.table.vacuum_at * max(1.0, self.tokens / self.table.rows))
        return moved * self.row_bytes(envelope_bytes)


def forecast(
    figures: Mapping[str, Figure], database: DatabaseFigures, tokens_by_table: Mapping[str, float], verb: Verb
) -> Forecast:
    """Return what a job takes. `figures` has the names above; `tokens_by_table` adds up to its tokens."""
    value = {name: one.value for name, one in figures.items()}
    backed_up = verb is not Verb.ENCRYPT
    tables = [TableShare(one, tokens_by_table.get(one.name, 0.0)) for one in database.tables]
    tokens, rate, calls = value[TOKENS], value[RATE], value[TOKENS] * value[CALLS]
    per_second = rate / value[CALLS]
    processes = max(1, ceil(per_second * value[CPU_US] / 1e6))
    index_writes = sum(one.index_writes for one in tables)
    longer = WAL_ENVELOPES[verb] * (value[ENVELOPE_BYTES] - ENVELOPE_BYTES_MEASURED)
    wal = tokens * (WAL_BYTES[verb] + longer)
    pages = sum(one.tokens * one.row_bytes(value[ENVELOPE_BYTES]) for one in tables)
    images = IMAGES * pages * database.writes_page_images
    share = rate / value[QUOTA] if value[QUOTA] else 1.0
    results = [
        Result("time", calls / rate, "s", _time_advice(share)),
        Result("processes", processes, "", _PROCESSES),
        Result("hosts", ceil(processes / max(value[CORES], 1)), "", _HOSTS),
        Result("calls", calls, "", _CALLS),
        Result("share of the quota", share, "%", "Production decrypts from the same quota."),
        Result("cost", calls * DOLLARS_PER_CALL, "USD", _COST),
        Result("database cores", per_second * value[DATABASE_CPU_US] / 1e6, "cores", _DATABASE),
        Result("WAL", wal + images, "B", _AURORA if database.is_aurora else _WAL),
        Result("of it images of pages", images, "B", _IMAGES if images else _NO_IMAGES),
        Result("WAL a second", (wal + images) * rate / calls if calls else 0.0, "B/s", _REPLICAS),
        Result("dead rows", sum(one.dead for one in tables), "", _dead_advice(tables)),
        Result("table growth", sum(one.growth(value[ENVELOPE_BYTES]) for one in tables), "B", _GROWTH),
        Result("index writes", index_writes, "", _index_advice(tables)),
        Result(
            "backups", tokens * value[BACKUP_BYTES] * backed_up, "B", _BACKUPS if backed_up else _NO_BACKUPS
        ),
        Result("transactions", ceil(tokens / BATCH_TOKENS), "", _TRANSACTIONS),
    ]
    return Forecast(tuple(results), tuple(figures.values()))


def _time_advice(share: float) -> str:
    return _TIME if share < 1 else f"{_TIME} At the whole quota production is throttled: give --rate."


def _dead_advice(tables: list[TableShare]) -> str:
    largest = max(tables, key=lambda one: one.tokens, default=None)
    if largest is None:
        return _VACUUM
    name, at = largest.table.name, largest.table.vacuum_at
    when = "does not come (off, or never analysed)" if at is None else f"comes after {at:,.0f} of them"
    return f"To {name} autovacuum {when}. {_VACUUM}"


def _index_advice(tables: list[TableShare]) -> str:
    held = [one.table.name for one in tables if one.table.token_indexes]
    if held:
        names = ", ".join(held)
        return f"An index has a token column of {names}, so each update writes to every index: drop it."
    return _FILLFACTOR if any(one.hot < 1 for one in tables) else "The pages have room: no index is written."


_TIME = (
    "Ask AWS for a higher quota some days before (Service Quotas: AWS KMS, symmetric cryptographic "
    "operations): twice the rate is half the time."
)
_PROCESSES = "Run `keydeck jobs join JOB --processes N` on each host."
_HOSTS = (
    "A process a core, near KMS and PostgreSQL. One that is cut off goes on by itself; others take its chunk "
    "over within 15 s."
)
_CALLS = (
    "Each is an event of CloudTrail: the first trail's copy is free, further trails and event data stores "
    "charge for it."
)
_COST = "The calls alone, at $0.03 for 10,000."
_DATABASE = "Besides the platform's own load. Where they are not free, lower --rate."
_WAL = "The archive must have room; a replication slot that nobody reads keeps all of it."
_AURORA = "Log records, which are Aurora's write I/O: I/O-Optimized storage does not charge for them."
_IMAGES = (
    "After each checkpoint the first change of a page writes it whole: raise checkpoint_timeout and "
    "max_wal_size for the job."
)
_NO_IMAGES = "This server writes no images of whole pages."
_REPLICAS = (
    "Replicas and the archive must keep up with it: the job waits for replicas that are behind (--max-lag)."
)
_VACUUM = (
    "So that it comes in time, for the job: ALTER TABLE … SET (autovacuum_vacuum_scale_factor = 0, "
    "autovacuum_vacuum_threshold = 1000000), and RESET both after it. Or pause the job, VACUUM, resume it."
)
_GROWTH = "Room that later rows use: no VACUUM FULL, which locks the platform out."
_FILLFACTOR = (
    f"A row that stays in its page writes to none (HOT). fillfactor = {ROOMY} lets all stay, on pages that "
    "are written after it is set: worth it only where the table is rewritten anyway."
)
_BACKUPS = "Forget them once the census is zero: keydeck backups purge --job JOB, then VACUUM."
_NO_BACKUPS = "No copy of a plaintext is kept."
_TRANSACTIONS = "Of the 2,100,000,000 until wraparound."
