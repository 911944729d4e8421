"""What keeps secrets inside the process: no core dumps, no values in crash output, no chatty loggers."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from types import TracebackType

from crypto_core.foreign import clean


def guard_process() -> None:
    """Switch core dumps off and replace crash output. Call once, before anything else."""
    _no_core_dumps()
    sys.excepthook = _crashed
    threading.excepthook = lambda arguments: _crashed(
        arguments.exc_type, arguments.exc_value or SystemExit(), arguments.exc_traceback
    )
    # SQLAlchemy logs parameters at INFO and rows at DEBUG.
    for name in ("sqlalchemy.engine", "sqlalchemy.pool", "sqlalchemy.orm"):
        logging.getLogger(name).setLevel(logging.WARNING)


def crash_lines(error: BaseException) -> list[str]:
    """Return an unexpected error as lines: where it happened, never what any variable held.

    The exception's own text is left out: it may repeat a value, as ValueError and KeyError do.
    """
    lines = [f"Keydeck failed unexpectedly: {clean(type(error).__name__)}."]
    for frame in traceback.extract_tb(error.__traceback__):
        lines.append(f"  {clean(frame.filename)}:{frame.lineno} in {clean(frame.name)}")
    return lines


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    print("\n".join(crash_lines(error)), file=sys.stderr)


def _no_core_dumps() -> None:
    try:
        import resource
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
