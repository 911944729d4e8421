"""Services that are made on first use, so that unused ones don't slow the start."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any, Generic, TypeVar, cast, overload

Service = TypeVar("Service")


class _Deferred:
    """Stands for an object. Thread-safe: it is made once; where making it fails, the next use tries again.

    To whoever looks it is that object: its attributes, set ones too, and its class.
    """

    __slots__ = ("_lock", "_made", "_make")

    def __init__(self, make: Callable[[], Any]) -> None:
        keep = object.__setattr__
        keep(self, "_make", make)
        keep(self, "_lock", RLock())
        keep(self, "_made", None)

    def _if_made(self) -> Any:
        return self._made

    def _now(self) -> Any:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    object.__setattr__(self, "_made", self._make())
        return self._made

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self._now().__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._now(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._now(), name)


def deferred(make: Callable[[], Service]) -> Service:
    return cast("Service", _Deferred(make))


class deferred_property(Generic[Service]):  # noqa: N801
    """A property that is a deferred service, the same one for each look at it."""

    def __init__(self, make: Callable[[Any], Service]) -> None:
        self.__doc__ = make.__doc__
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> deferred_property[Service]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Service: ...
    def __get__(self, instance: object | None, owner: type) -> deferred_property[Service] | Service:
        if instance is None:
            return self
        service = deferred(lambda: self._make(instance))
        # Of two threads that look at the same time, both get the one that was first.
        return cast("Service", instance.__dict__.setdefault(self._name, service))


def if_made(service: Service) -> Service | None:
    """Return the object that a deferred service stands for, None before its first use."""
    return service._if_made() if isinstance(service, _Deferred) else service  # noqa: SLF001
