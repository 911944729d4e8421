"""A real service on the stage: its calls may be made to raise, or to hang."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Event
from typing import Any

Enter = Callable[[str, Event | None], None]


class Gated:
    """A service. Each method that `names` has begins with `enter`, by the name that the stage knows it by."""

    def __init__(self, service: Any, enter: Enter, names: Mapping[str, str]) -> None:
        self._service = service
        self._enter = enter
        self._names = names

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._service, method)
        if method not in self._names:
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            self._enter(self._names[method], options.get("cancelled"))
            return found(*arguments, **options)

        return call
