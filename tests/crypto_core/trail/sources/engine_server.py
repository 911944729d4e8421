"""Athena for tests: over HTTP, with SQLite behind. No sandbox has it."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

from crypto_core.trail.sources.engine_rows import DOCUMENTS, IDENTITY, PLAIN, SESSION

Row = dict[str, str | None]
Handler = Callable[[dict[str, Any]], Mapping[str, Any]]

_ARNS = "json_format(CAST(transform(resources, r -> r.arn) AS JSON))"
QUERY = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"


class RefusedError(Exception):
    """What a handler raises to answer with an error of AWS's: its code, and its message."""


def row_of(record: Mapping[str, Any]) -> Row:
    """A record as a table's row: SQL's own NULL for what is missing."""
    row: Row = {column: _text(record.get(name)) for name, column in PLAIN.items()}
    for name, column in DOCUMENTS.items():
        value = record.get(name)
        row[column] = None if value is None else json.dumps(value)
    for fields in (IDENTITY, SESSION):
        row |= {column: _text(_below(record, column, name)) for name, column in fields.items()}
    arns = [one.get("ARN") for one in record.get("resources") or ()]
    row["arns"] = json.dumps(arns) if record.get("resources") is not None else None
    return row


def _below(record: Mapping[str, Any], column: str, name: str) -> object:
    identity = record.get("userIdentity") or {}
    context = identity.get("sessionContext") or {}
    if ".attributes." in column:
        return (context.get("attributes") or {}).get(name)
    if ".sessionissuer." in column:
        return (context.get("sessionIssuer") or {}).get("arn")
    return identity.get(name)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def asked_of(statement: str, rows: Iterable[Row]) -> list[Row]:
    """Run a statement, its values in it, over rows. What SQLite has no words for becomes a column's name."""
    statement = statement.replace(_ARNS, '"arns"')
    statement = re.sub(r"\buseridentity(?:\.\w+)+", lambda found: f'"{found[0]}"', statement)
    statement = re.sub(r'FROM "?\w+"?\."?\w+"?', "FROM events", statement)
    with closing(sqlite3.connect(":memory:")) as connection, connection:
        connection.execute("PRAGMA case_sensitive_like = ON")
        connection.row_factory = sqlite3.Row
        names = [*row_of({}), "timestamp", "year", "month", "day"]
        connection.execute("CREATE TABLE events ({})".format(", ".join(f'"{n}" TEXT' for n in names)))
        for row in rows:
            held = ", ".join(f'"{name}"' for name in row)
            connection.execute(
                f"INSERT INTO events ({held}) VALUES ({', '.join('?' * len(row))})",
                list(row.values()),
            )
        return [dict(found) for found in connection.execute(statement)]


class EngineServer:
    """Answers by operation. `asked` are the operations with their parameters, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.handlers: dict[str, Handler] = {}
        self.url = ""

    def named(self, operation: str) -> list[dict[str, Any]]:
        """The parameters of all questions of this name."""
        return [parameters for name, parameters in self.asked if name == operation]

    def answer(self, operation: str, parameters: dict[str, Any]) -> tuple[int, Mapping[str, Any]]:
        self.asked.append((operation, parameters))
        try:
            return 200, self.handlers[operation](parameters)
        except RefusedError as error:
            return 400, {"__type": error.args[0], "message": error.args[1]}


Server = TypeVar("Server", bound="EngineServer")


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Let it listen on the loopback interface while the block runs."""

    class Handling(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            status, document = server.answer(operation, json.loads(body or b"{}"))
            written = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handling) as listening:
        server.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


class AthenaServer(EngineServer):
    """A table of records. `states` are what a query tells in turn, with the bytes that it has scanned."""

    def __init__(self, rows: Iterable[Row] = (), metadata: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.rows = list(rows)
        self.metadata = metadata
        self.states: list[tuple[str, int]] = [("QUEUED", 0), ("RUNNING", 1_000), ("SUCCEEDED", 123_456)]
        self.reason = ""
        self.page = 1_000
        self._results: list[Row] = []
        self.handlers = {
            "StartQueryExecution": self._start,
            "GetQueryExecution": self._look,
            "GetQueryResults": self._page,
            "GetTableMetadata": self._table,
            "StopQueryExecution": lambda _parameters: {},
        }

    def _start(self, parameters: dict[str, Any]) -> Mapping[str, Any]:
        parts = parameters["QueryString"].split("?")
        values = [*parameters.get("ExecutionParameters", ()), ""]
        assert len(parts) == len(values)
        assert all(1 <= len(value) <= 1_024 for value in values[:-1])
        statement = "".join(part + value for part, value in zip(parts, values, strict=True))
        self._results = asked_of(statement, self.rows)
        return {"QueryExecutionId": QUERY}

    def _look(self, parameters: dict[str, Any]) -> Mapping[str, Any]:
        state, scanned = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        status = {"State": state, "StateChangeReason": self.reason}
        return {"QueryExecution": {"Status": status, "Statistics": {"DataScannedInBytes": scanned}}}

    def _page(self, parameters: dict[str, Any]) -> Mapping[str, Any]:
        start = int(parameters.get("NextToken", 0))
        some = self._results[start : start + min(self.page, parameters["MaxResults"])]
        names = list(self._results[0]) if self._results else ["eventid"]
        written: list[list[str | None]] = [] if start else [[*names]]
        written += [list(row.values()) for row in some]
        cells = [{"Data": [{} if v is None else {"VarCharValue": v} for v in row]} for row in written]
        more = start + len(some) < len(self._results)
        return {"ResultSet": {"Rows": cells}} | ({"NextToken": str(start + len(some))} if more else {})

    def _table(self, parameters: dict[str, Any]) -> Mapping[str, Any]:
        if self.metadata is None:
            raise RefusedError("AccessDeniedException", "not authorized to perform: athena:GetTableMetadata")
        return {"TableMetadata": {"Name": parameters["TableName"], **self.metadata}}
