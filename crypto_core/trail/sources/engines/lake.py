"""CloudTrail Lake. API reference: StartQuery, DescribeQuery, GetQueryResults, CancelQuery.

Lake binds no values: they stand in the statement as literals; see question.quoted. It tells nothing of what
a query will scan before it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from threading import Event
from typing import Any

from sqlalchemy import text

from crypto_core.aws.kms import KmsApi
from crypto_core.cancelling import stop_if
from crypto_core.errors import TrailError
from crypto_core.text.cleaning import clean
from crypto_core.trail.event_sql.dialect import EngineStatement
from crypto_core.trail.sources.answers import pages_of
from crypto_core.trail.sources.lake_sql import RecordTable, question
from crypto_core.trail.sources.pull_query import PullQuery
from crypto_core.trail.sources.query_run import QueryStatus

DOLLARS_PER_GB = 0.005
_LONGEST_STATEMENT = 10_000
_PAGE = 1_000


class Lake:
    """One event data store, in its Region. `identity` is the id in its ARN, which the caller has checked."""

    name = "CloudTrail Lake"

    def __init__(self, kms: KmsApi, arn: str, identity: str, region: str) -> None:
        self._kms = kms
        self._arn = arn
        self._identity = identity
        self._region = region

    def price(self, count: int) -> str:
        return f"{count / 1e9 * DOLLARS_PER_GB:,.4f} USD"

    def prepare_query(
        self,
        asked: PullQuery,
        regions: Sequence[str],
        most_rows: int,
        cancelled: Event | None,
        *,
        estimate: bool = True,
    ) -> tuple[EngineStatement, int | None, list[str]]:
        """Return the query; what it scans is not known before. Raises TrailError for a filter too long."""
        stop_if(cancelled)
        remarks = []
        if estimate:
            store = self._ask("GetEventDataStore")
            if store.get("Status") not in (None, "ENABLED"):
                remarks.append(f"The event data store is {clean(store.get('Status'), 60)}.")
        table = RecordTable(text(self._identity), written=_written, as_json=True)
        query = question(asked, table, regions, most_rows)
        if len(query.inlined) > _LONGEST_STATEMENT:
            raise TrailError("The filter is too long for CloudTrail Lake.", remedy="Ask for less at once.")
        return query, None, remarks

    def start_query(self, query: EngineStatement) -> str:
        return str(self._ask("StartQuery", QueryStatement=query.inlined).get("QueryId") or "")

    def query_status(self, execution: str) -> QueryStatus:
        answer = self._ask("DescribeQuery", QueryId=execution)
        state = str(answer.get("QueryStatus"))
        failed = state in ("FAILED", "CANCELLED", "TIMED_OUT")
        return QueryStatus(
            int((answer.get("QueryStatistics") or {}).get("BytesScanned") or 0),
            state == "FINISHED",
            f"{state}: {answer.get('ErrorMessage')}" if failed else "",
        )

    def stop_query(self, execution: str) -> None:
        self._ask("CancelQuery", QueryId=execution)

    def query_rows(self, execution: str, cancelled: Event | None) -> Iterator[Mapping[str, str | None]]:
        asked = {"QueryId": execution, "MaxQueryResults": _PAGE}
        for answer in pages_of(partial(self._ask, "GetQueryResults"), cancelled, **asked):
            for cells in answer.get("QueryResultRows") or ():
                yield {name.lower(): value for cell in cells for name, value in cell.items()}

    def _ask(self, operation: str, **parameters: Any) -> dict[str, Any]:
        # The queries of a store are asked for by their ids alone; the store itself by its ARN.
        if operation == "GetEventDataStore":
            parameters["EventDataStore"] = self._arn
        return self._kms.read("cloudtrail", operation, region=self._region, **parameters)


def _written(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
