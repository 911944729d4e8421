"""What a job over so many tokens comes to: arithmetic over figures, with what to do about each result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from crypto_core.database.tokens.table_figures import DatabaseFigures, TableFigures
from crypto_core.reencryption.bulk.quota import DOLLARS_PER_CALL
from crypto_core.reencryption.plan import Verb
from crypto_core.reencryption.scale.figures import (
    BATCH_TOKENS,
    DEAD_SHARE,
    HOT_SHARE,
    IMAGES,
    ROOMY,
    WAL_BYTES,
    WAL_ENVELOPES,
    Figure,
)
from crypto_core.reencryption.scale.figures import ENVELOPE_BYTES as MEASURED_ENVELOPE_BYTES
from crypto_core.text.json_records import JsonRecord, made, shape

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
    longer = WAL_ENVELOPES[verb] * (value[ENVELOPE_BYTES] - MEASURED_ENVELOPE_BYTES)
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
