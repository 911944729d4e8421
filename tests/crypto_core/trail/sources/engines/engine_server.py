"""A query engine of AWS's for tests, over HTTP. No sandbox has one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

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


Server = TypeVar("Server", bound="EngineServer")


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Let it listen on the loopback interface while the block runs."""

    def answer(asked: Asked) -> Answer:
        operation = asked.headers.get("X-Amz-Target", "").rpartition(".")[2]
        status, document = server.answer(operation, json.loads(asked.body or b"{}"))
        return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode()

    with answering(answer) as server.url:
        yield server
