"""Services that are made when they are first used: what nobody looks at costs the start nothing."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any, TypeVar, cast

Service = TypeVar("Service")


class _Deferred:
    """Stands for an object. Thread-safe: it is made once; where making it fails, the next use tries again."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock = RLock()
        self._made: Any = None

    def _if_made(self) -> Any:
        return self._made

    def __getattr__(self, name: str) -> Any:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._make()
        return getattr(self._made, name)


def deferred(make: Callable[[], Service]) -> Service:
    """Return what stands for the object that `make` makes; its methods and attributes are that object's."""
    return cast("Service", _Deferred(make))


def if_made(service: Service) -> Service | None:
    """Return the object that a deferred service stands for, None if nobody has used it yet."""
    return service._if_made() if isinstance(service, _Deferred) else service  # noqa: SLF001
