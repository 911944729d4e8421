"""Athena over the trail's files. API reference: StartQueryExecution, GetQueryExecution, GetQueryResults.

Athena User Guide, "Create a table for CloudTrail logs": columns, and partitions by day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice
from threading import Event
from typing import Any

from sqlalchemy import ColumnElement, and_, literal_column, table
from sqlalchemy.sql import quoted_name

from crypto_core.aws.kms import KmsApi
from crypto_core.errors import KmsError, SettingsError
from crypto_core.lists.filter_language import Term
from crypto_core.text.cleaning import clean
from crypto_core.trail.sources.answers import pages_of, why
from crypto_core.trail.sources.bucket.objects import Bucket
from crypto_core.trail.sources.bucket.places import FILES, delivered, folders, place_at
from crypto_core.trail.sources.lake_sql import LakeStatement, iso, question
from crypto_core.trail.sources.pull_query import PullQuery
from crypto_core.trail.sources.query_run import QueryStatus

DOLLARS_PER_TB = 5.0
_LEAST_BYTES = 10_000_000
"""What a query is charged for at least."""
_MOST_LISTED = 200_000
"""Objects that are listed for an estimate."""
_PAGE = 1_000

_SET_TABLE = "Set KEYDECK_ATHENA_TABLE to database.table."
_TABLE = re.compile(r"[A-Za-z0-9_]{1,128}\.[A-Za-z0-9_]{1,128}")
_DAY_FORMATS = {"yyyy/MM/dd": "%Y/%m/%d", "yyyy-MM-dd": "%Y-%m-%d", "yyyyMMdd": "%Y%m%d"}
_YEAR_MONTH_DAY = (
    "concat(CAST(year AS VARCHAR), lpad(CAST(month AS VARCHAR), 2, '0'), lpad(CAST(day AS VARCHAR), 2, '0'))"
)
"""Of partitions that are texts or numbers."""
_REGION_KEYS, _ACCOUNT_KEYS = ("region", "awsregion", "aws_region"), ("account", "accountid", "account_id")
_ACCOUNT = re.compile(r"[0-9]{12}")
_DAY_KEYS = ("timestamp", "date", "day", "dt", "event_date", "datehour")


@dataclass(frozen=True, slots=True)
class AthenaSettings:
    """The table (database.table), and where results go: a place in S3, or a workgroup that has one."""

    table: str = ""
    output: str = ""
    workgroup: str = ""


class Athena:
    """One table of Athena's, in one Region."""

    name = "Athena"

    def __init__(self, kms: KmsApi, settings: AthenaSettings, region: str) -> None:
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
        self._region = region

    def price(self, count: int) -> str:
        """What scanning so many bytes costs."""
        return f"{max(count, _LEAST_BYTES) / 1e12 * DOLLARS_PER_TB:,.4f} USD"

    def prepare_query(
        self,
        asked: PullQuery,
        regions: Sequence[str],
        most_rows: int,
        cancelled: Event | None,
        *,
        estimate: bool = True,
    ) -> tuple[LakeStatement, int | None, list[str]]:
        """Return the query, the bytes that it is expected to scan (None: not known), and remarks.

        Raises SettingsError where the table needs a value that is not asked for.
        """
        database, _, name = self._settings.table.partition(".")
        metadata, remarks = self._metadata(database, name)
        by_day = _by_day(metadata, asked)
        partitions = [*([] if by_day is None else [by_day]), *_by_place(metadata, asked, regions)]
        if metadata and by_day is None:
            remarks.append("The table has no partition by day that is known here: all of it is scanned.")
        columns = frozenset(
            str(c.get("Name")).lower() for c in metadata.get("Columns") or () if isinstance(c, Mapping)
        )
        query = question(
            asked,
            table(quoted_name(name, quote=True), schema=quoted_name(database, quote=True)),
            written=iso,
            regions=regions,
            as_json=False,
            columns=columns or None,
            more=partitions,
            limit=most_rows,
        )
        if not estimate or not metadata:
            return query, None, remarks
        location = str((metadata.get("Parameters") or {}).get("location") or "")
        try:
            scanned = self._scanned(location, asked if by_day is not None else None, cancelled)
        except (KmsError, SettingsError) as error:
            remarks.append(f"The table's files can't be listed: {why(error)}")
            scanned = None
        return query, scanned, remarks

    def start_query(self, query: LakeStatement) -> str:
        """Start the query; return the name of this run of it."""
        wanted: dict[str, Any] = {
            "QueryString": query.statement,
            "ExecutionParameters": list(query.literals),
        }
        if self._settings.workgroup:
            wanted["WorkGroup"] = self._settings.workgroup
        if self._settings.output:
            wanted["ResultConfiguration"] = {"OutputLocation": self._settings.output}
        return str(self._ask("StartQueryExecution", **wanted).get("QueryExecutionId") or "")

    def query_status(self, execution: str) -> QueryStatus:
        """Return how a run stands."""
        answer = self._ask("GetQueryExecution", QueryExecutionId=execution).get("QueryExecution") or {}
        status = answer.get("Status") or {}
        state = str(status.get("State"))
        return QueryStatus(
            int((answer.get("Statistics") or {}).get("DataScannedInBytes") or 0),
            state == "SUCCEEDED",
            f"{state}: {status.get('StateChangeReason')}" if state in ("FAILED", "CANCELLED") else "",
        )

    def stop_query(self, execution: str) -> None:
        """Stop a run."""
        self._ask("StopQueryExecution", QueryExecutionId=execution)

    def query_rows(self, execution: str, cancelled: Event | None) -> Iterator[Mapping[str, str | None]]:
        """Yield the rows that a run brought."""
        header: list[str] | None = None
        asked = {"QueryExecutionId": execution, "MaxResults": _PAGE}
        for answer in pages_of(partial(self._ask, "GetQueryResults"), cancelled, **asked):
            for row in (answer.get("ResultSet") or {}).get("Rows") or ():
                values = [cell.get("VarCharValue") for cell in row.get("Data") or ()]
                if header is None:
                    header = [str(value) for value in values]
                else:
                    yield dict(zip(header, values, strict=False))

    def _metadata(self, database: str, name: str) -> tuple[Mapping[str, Any], list[str]]:
        try:
            answer = self._ask(
                "GetTableMetadata", CatalogName="AwsDataCatalog", DatabaseName=database, TableName=name
            )
        except KmsError as error:
            return {}, [f"How the table is partitioned is not known, so all of it is scanned: {why(error)}"]
        return answer.get("TableMetadata") or {}, []

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


def _keys(metadata: Mapping[str, Any]) -> list[str]:
    """The table's partition keys."""
    return [str(k.get("Name")).lower() for k in metadata.get("PartitionKeys") or () if isinstance(k, Mapping)]


def _by_place(
    metadata: Mapping[str, Any], asked: PullQuery, regions: Sequence[str]
) -> Iterator[ColumnElement[bool]]:
    """The conditions on the table's partitions by Region and by account.

    Athena User Guide, "Set up partition projection": of a key that is injected, queries must name values. An
    account is named in no other case: a record without one has its caller's.
    """
    parameters = metadata.get("Parameters") or {}
    for key in _keys(metadata):
        injected = str(parameters.get(f"projection.{key}.type") or "").lower() == "injected"
        values = list(regions) if key in _REGION_KEYS else []
        if key in _ACCOUNT_KEYS and injected:
            values = _accounts(asked)
        if values:
            column: ColumnElement[str] = literal_column(f'"{key}"')
            yield column.in_(values)
        elif injected:
            wanted = "--region NAME" if key in _REGION_KEYS else "--filter account:NUMBER"
            known = key in (*_REGION_KEYS, *_ACCOUNT_KEYS)
            raise SettingsError(
                f"The table's partition key {clean(key, 100)} is injected: a query must name its values.",
                remedy=f"Name them: {wanted}." if known else "Name another table: KEYDECK_ATHENA_TABLE.",
            )


def _accounts(asked: PullQuery) -> list[str]:
    """The accounts one of which a filter demands, in so many words."""
    for term in asked.terms:
        if isinstance(term, Term) and term.field == "account" and not term.negated:
            texts = [value.text for value in term.alternatives if value.is_text]
            if len(texts) == len(term.alternatives) and all(map(_ACCOUNT.fullmatch, texts)):
                return texts
    return []


def _by_day(metadata: Mapping[str, Any], asked: PullQuery) -> ColumnElement[bool] | None:
    """The condition on the table's partitions by day; None where it has none that is known."""
    keys, parameters = _keys(metadata), metadata.get("Parameters") or {}
    # Files lie in the day of their delivery, which may be the next.
    first, last = asked.since.date(), asked.until.date() + timedelta(days=1)
    for key in keys:
        written = _DAY_FORMATS.get(str(parameters.get(f"projection.{key}.format") or ""))
        if key in _DAY_KEYS and written:
            column: ColumnElement[str] = literal_column(f'"{key}"')
            return and_(column >= first.strftime(written), column <= last.strftime(written))
    if {"year", "month", "day"} <= set(keys):
        joined: ColumnElement[str] = literal_column(_YEAR_MONTH_DAY)
        return and_(joined >= f"{first:%Y%m%d}", joined <= f"{last:%Y%m%d}")
    return None
