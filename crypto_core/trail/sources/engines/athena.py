"""Athena over the trail's files: queries, and events out of a table, at a cost that is limited.

Athena API reference; User Guide, "Create a table for CloudTrail logs".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import islice
from threading import Event
from typing import Any

from sqlalchemy import table, text
from sqlalchemy.sql import quoted_name

from crypto_core.aws.kms import KmsApi
from crypto_core.lists.filter_language import Clause
from crypto_core.trail.columns import seconds
from crypto_core.trail.event_sql import EngineStatement
from crypto_core.trail.record_reader import read_record
from crypto_core.trail.sources.bucket.objects import Bucket
from crypto_core.trail.sources.bucket.places import FILES, delivered, folders, place_at
from crypto_core.trail.sources.engine_rows import MISSING, record_of
from crypto_core.trail.sources.engines.record_sql import RecordTable, question
from crypto_core.trail.sources.engines.security_lake import as_cloudtrail, is_ocsf, provided
from crypto_core.trail.sources.engines.table_definition import TableDefinition, demanded
from crypto_core.trail.sources.plan import PullPlan
from crypto_core.trail.sources.pull_query import PullQuery, Rest, settled
from crypto_core.trail.sources.report import PullRun
from crypto_core.trail.sources.source_calls import pages_of, why
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import PullBook, PullScope
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import (
    InterruptedRunError,
    KmsError,
    NotConfirmedError,
    RefusedError,
    SettingsError,
    TrailError,
)

DOLLARS_PER_TB = 5.0
LEAST_BYTES = 10_000_000
MOST_ROWS = 1_000_000
_MOST_LISTED = 200_000
_PAGE = 1_000

_SET_TABLE = "Set KEYDECK_ATHENA_TABLE to database.table."
_TABLE = re.compile(r"[A-Za-z0-9_]{1,128}\.[A-Za-z0-9_]{1,128}")
OCSF = "The table is one of OCSF's, such as Security Lake's: records lack what its mapping leaves out."
NO_DAYS = "The table has no partition by day that is known here: all of it is scanned."
_LESS = "Ask for a shorter window, or allow more with --max-bytes."
MOST_SCANNED = 100 * 10**9
"""Bytes that a query may scan unless the operator says otherwise."""
_LOOK_SECONDS = 1.0
_ENDS = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass(frozen=True, slots=True)
class AthenaSettings:
    """The table (database.table), and where results go: a place in S3, or a workgroup that has one."""

    table: str = ""
    output: str = ""
    workgroup: str = ""


class Athena:
    def __init__(self, kms: KmsApi, settings: AthenaSettings) -> None:
        """Raises SettingsError if the table or the place for results is missing."""
        if not settings.table:
            raise SettingsError("No table of Athena is set up.", remedy=_SET_TABLE)
        if not _TABLE.fullmatch(settings.table):
            raise SettingsError(f"{settings.table!r} is not an Athena table.", remedy=_SET_TABLE)
        if not settings.output and not settings.workgroup:
            raise SettingsError(
                "Athena has no place for its results.",
                remedy="Set KEYDECK_ATHENA_OUTPUT to s3://… or KEYDECK_ATHENA_WORKGROUP.",
            )
        self._kms = kms
        self._settings = settings
        self._region = kms.regions[0]
        self._database, _, self._name = settings.table.partition(".")

    def price(self, count: int) -> str:
        return f"{max(count, LEAST_BYTES) / 1e12 * DOLLARS_PER_TB:,.4f} USD"

    def expected_cost(self, scanned: int | None, most: int) -> str:
        """Say what a query is expected to scan and cost. Raises RefusedError if more than allowed."""
        if scanned is not None and scanned > most:
            raise RefusedError(
                f"The query would scan about {size(scanned)}; {size(most)} are allowed.", remedy=_LESS
            )
        expected = "how much it scans is not known before"
        if scanned is not None:
            expected = f"expected to scan about {size(scanned)}, {self.price(scanned)}"
        return (
            f"Athena: {expected}; it is stopped beyond {size(most)}, {self.price(most)}. "
            "List prices; they vary by Region."
        )

    def run_to_end(self, execution: str, most: int, cancelled: Event | None, rest: Rest) -> str:
        """Wait for a query, return what it cost, as a sentence. Raises TrailError, KmsError.

        A query that scans more than `most` bytes is stopped.
        """
        scanned, state = 0, ""
        try:
            while state not in _ENDS and scanned <= most:
                stop_if(cancelled)
                run = self._ask("GetQueryExecution", QueryExecutionId=execution).get("QueryExecution") or {}
                status = run.get("Status") or {}
                state = str(status.get("State"))
                scanned = int((run.get("Statistics") or {}).get("DataScannedInBytes") or 0)
                if state not in _ENDS and scanned <= most:
                    rest(cancelled or Event(), _LOOK_SECONDS)
        except (InterruptedRunError, KmsError):
            self._stop_query(execution)
            raise
        if state not in _ENDS:
            self._stop_query(execution)
            raise TrailError(
                f"Athena's query was stopped: it had scanned {scanned:,} bytes, {most:,} are allowed.",
                remedy=_LESS,
            )
        if state != "SUCCEEDED":
            failure = clean(f"{state}: {status.get('StateChangeReason')}", 300)
            raise TrailError(
                f"Athena's query came to nothing: {failure}.",
                remedy="Check the table that is set up, and what may read it.",
            )
        return f"Athena scanned {scanned:,} bytes, {self.price(scanned)} at list price."

    def _stop_query(self, execution: str) -> None:
        with suppress(KmsError):
            self._ask("StopQueryExecution", QueryExecutionId=execution)

    def prepare_query(
        self,
        asked: PullQuery,
        regions: Sequence[str],
        most_rows: int,
        cancelled: Event | None,
        *,
        estimate: bool = True,
    ) -> tuple[EngineStatement, int | None, list[str]]:
        """Return the query, the bytes it may scan (None: not known), and remarks. Raises SettingsError."""
        definition, remarks = self.definition()
        records = self.record_table(definition, asked.terms, (asked.since, asked.until), regions)
        query = question(asked, records, regions, most_rows)
        scanned, more = None, list(records.remarks)
        if estimate:
            scanned, unlisted = self.estimate(definition, asked if records.by_day else None, cancelled)
            more += unlisted
        return query, scanned, [*remarks, *more]

    def record_table(
        self,
        definition: TableDefinition,
        clauses: Sequence[Clause],
        window: tuple[datetime | None, datetime | None],
        regions: Sequence[str] = (),
    ) -> RecordTable:
        """Return the table, in the partitions that a window and a filter demand. Raises SettingsError."""
        days = delivery_days(*window)
        if is_ocsf(definition):
            named, demands = f'"{self._database}"."{self._name}"', regions or demanded(clauses, "region")
            relation = as_cloudtrail(named, definition, window, days, demands)
            columns = provided(definition)
            return RecordTable(
                text(relation.replace(":", r"\:")),  # a colon begins no name here
                has=lambda path: path.partition(".")[0] in columns,
                remarks=(OCSF,),
            )
        by_day = definition.by_day(*days)
        unlimited = definition.known and any(window) and by_day is None
        return RecordTable(
            table(quoted_name(self._name, quote=True), schema=quoted_name(self._database, quote=True)),
            has=definition.has,
            limits=(*([] if by_day is None else [by_day]), *definition.by_place(clauses, regions)),
            by_day=by_day is not None,
            remarks=(NO_DAYS,) if unlimited else (),
        )

    def estimate(
        self, definition: TableDefinition, asked: PullQuery | None, cancelled: Event | None
    ) -> tuple[int | None, list[str]]:
        """Return the bytes of a window's files, or of all (`asked` None), None if unknown; and remarks."""
        if not definition.known or is_ocsf(definition):
            return None, []
        try:
            return self._scanned(definition.location, asked, cancelled), []
        except (KmsError, SettingsError) as error:
            return None, [f"The table's files can't be listed: {why(error)}"]

    def start_query(self, query: EngineStatement) -> str:
        """Start a query of at least one value; return the run's name."""
        wanted: dict[str, Any] = {"QueryString": query.statement, "ExecutionParameters": list(query.literals)}
        if self._settings.workgroup:
            wanted["WorkGroup"] = self._settings.workgroup
        if self._settings.output:
            wanted["ResultConfiguration"] = {"OutputLocation": self._settings.output}
        return str(self._ask("StartQueryExecution", **wanted).get("QueryExecutionId") or "")

    def query_rows(self, execution: str, cancelled: Event | None) -> Iterator[Mapping[str, str | None]]:
        header: list[str] | None = None
        asked = {"QueryExecutionId": execution, "MaxResults": _PAGE}
        for answer in pages_of(partial(self._ask, "GetQueryResults"), cancelled, **asked):
            for row in (answer.get("ResultSet") or {}).get("Rows") or ():
                values = [cell.get("VarCharValue") for cell in row.get("Data") or ()]
                if header is None:
                    header = [str(value) for value in values]
                else:
                    yield dict(zip(header, values, strict=False))

    def definition(self) -> tuple[TableDefinition, list[str]]:
        """Return what Athena says of the table, and a remark where it says nothing."""
        named = {"DatabaseName": self._database, "TableName": self._name}
        try:
            answer = self._ask("GetTableMetadata", CatalogName="AwsDataCatalog", **named)
        except KmsError as error:
            remark = f"How the table is partitioned is not known, so all of it is scanned: {why(error)}"
            return TableDefinition({}), [remark]
        return TableDefinition(answer.get("TableMetadata") or {}), []

    def _scanned(self, location: str, asked: PullQuery | None, cancelled: Event | None) -> int | None:
        """The size of the files of the window's days, or of all; None where they lie otherwise."""
        place = place_at(location, self._region)
        bucket = Bucket(self._kms, self._region, place.bucket)
        under = location.removeprefix(f"s3://{place.bucket}/")
        total = listed = 0
        for folder in folders(bucket, place, FILES, cancelled):
            if not (folder.path.startswith(under) or under.startswith(folder.path)):
                continue
            found = (
                bucket.objects(folder.path, cancelled)
                if asked is None
                else delivered(bucket, folder.path, asked, cancelled=cancelled)
            )
            for one in islice(found, _MOST_LISTED - listed + 1):
                listed, total = listed + 1, total + one.size
            if listed > _MOST_LISTED:
                return None
        return total if listed else None

    def _ask(self, operation: str, **parameters: Any) -> dict[str, Any]:
        return self._kms.read("athena", operation, region=self._region, **parameters)


def delivery_days(since: datetime | None, until: datetime | None) -> tuple[date | None, date | None]:
    """Return the days of a window's files, which lie in the day of their delivery: it may be the next."""
    return since.date() if since else None, until.date() + timedelta(days=1) if until else None


def size(count: int) -> str:
    """Bytes as an operator reads them, in powers of ten."""
    number = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1_000:
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
        number /= 1_000
    return f"{number:,.1f} TB"


@dataclass(frozen=True, slots=True)
class AthenaSource:
    """Thread-safe. `rest` waits between two looks at a running query."""

    settings: AthenaSettings
    kms: KmsApi
    store: EventStore
    book: PullBook
    clock: Callable[[], datetime]
    rest: Rest

    def covered_until(self, scope: str) -> int | None:
        """Return up to when all was fetched. A table knows no single Region."""
        return self.book.covered_until(self._run(scope))

    def plan_query(
        self, asked: PullQuery, regions: tuple[str, ...], *, most: int | None, cancelled: Event | None
    ) -> PullPlan:
        """Return the query, and what it is expected to scan. Raises RefusedError if that is too much."""
        most = MOST_SCANNED if most is None else most
        engine = Athena(self.kms, self.settings)
        query, scanned, remarks = engine.prepare_query(asked, regions, MOST_ROWS + 1, cancelled)
        told = [engine.expected_cost(scanned, most), f"Rows don't bring: {', '.join(MISSING)}.", *remarks]
        if query.left:
            told.append(f"Not decided by the query, but here: {', '.join(query.left)}.")
        return PullPlan(
            "athena",
            asked,
            regions,
            remarks=tuple(told),
            statement=query.inlined,
            scanned=scanned,
            most=most,
            costs=True,
        )

    def pull_events(self, plan: PullPlan, pull: PullRun) -> tuple[str, ...]:
        """Store the rows of a plan's query; return their Regions. Raises NotConfirmedError if it changed."""
        engine, asked, tally = Athena(self.kms, self.settings), plan.asked, pull.tally
        began = self.clock()
        query, _, remarks = engine.prepare_query(
            asked, plan.regions, MOST_ROWS + 1, pull.cancelled, estimate=False
        )
        if query.inlined != plan.statement:
            raise NotConfirmedError(
                "The query has become another one than was agreed to: the table or the aliases of keys are "
                "others now.",
                remedy="Look at it again, then run it.",
            )
        for remark in remarks:
            tally.note(remark)
        execution = engine.start_query(query)
        tally.note(engine.run_to_end(execution, plan.most or MOST_SCANNED, pull.cancelled, self.rest))
        rows = engine.query_rows(execution, pull.cancelled)
        regions: dict[str, None] = {}
        total, whole = 0, True
        while some := list(islice(rows, _PAGE)):
            found = [read_record(record_of(row)) for row in some]
            total += len(some)
            if None in found:
                whole = False
                tally.gap(f"Athena: {found.count(None)} rows are not records.")
            kept = [e for e in found if e is not None and asked.wants(e)]
            kept = [e for e in kept if not plan.regions or e.region in plan.regions]
            regions |= {event.region: None for event in kept}
            stop_if(pull.cancelled)
            added = self.store.add(kept)
            tally.count("Athena", pages=1, records=len(some), added=added)
        if total > MOST_ROWS:
            whole = False
            tally.gap(f"Athena: more than {MOST_ROWS:,} rows; narrow the filter or the window.")
        if whole and not plan.regions:
            window = settled(asked.window, began)
            self.book.cover(self._run(asked.scope), window, seconds(self.clock()))
        return plan.regions or tuple(sorted(regions))

    def _run(self, scope: str) -> PullScope:
        return PullScope("athena", "", scope, self.settings.table)
