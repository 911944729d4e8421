"""A query engine of AWS's for tests, over HTTP. No sandbox has one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

from botocore.session import get_session

from tests.http_answers import Answer, Asked, answering

Handler = Callable[[dict[str, Any]], Mapping[str, Any]]

QUERY = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"


class RefusedError(Exception):
    """What a handler raises to answer with an error of AWS's: its code, and its message."""


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


def operation_of(asked: Asked) -> tuple[str, dict[str, Any]]:
    """Return what is asked of Athena and its parameters, in whichever protocol botocore speaks to it.

    Its releases before 1.44 name the operation in a header; later ones by method and path, with parameters in
    path, query and body.
    """
    body = json.loads(asked.body or b"{}")
    if named := asked.headers.get("X-Amz-Target"):
        return named.rpartition(".")[2], body
    path, _, query = asked.path.partition("?")
    service = get_session().get_service_model("athena")
    for operation in map(service.operation_model, service.operation_names):
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.http["requestUri"])
        found = re.fullmatch(pattern, path)
        if found and operation.http["method"] == asked.method:
            placed = {name: unquote(value) for name, value in found.groupdict().items()}
            return operation.name, {**body, **dict(parse_qsl(query)), **placed}
    raise LookupError(f"{asked.method} {asked.path}")


Server = TypeVar("Server", bound="EngineServer")


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Let it listen on the loopback interface while the block runs."""

    def answer(asked: Asked) -> Answer:
        status, document = server.answer(*operation_of(asked))
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        if status != 200:
            headers["x-amzn-ErrorType"] = document["__type"]
        return status, headers, json.dumps(document).encode()

    with answering(answer) as server.url:
        yield server
