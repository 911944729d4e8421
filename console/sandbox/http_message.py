"""A request and its answer, as servers of the sandbox pass them on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A whole HTTP request, its body read. `target` is the path and query as they arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def json_answer(status: int, document: Any, *headers: tuple[str, str]) -> HttpAnswer:
    return HttpAnswer(status, [("Content-Type", "application/json"), *headers], json.dumps(document).encode())
