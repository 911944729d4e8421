"""What keeps secrets inside the process when it fails: no core dumps, no values in crash output."""

from __future__ import annotations

import sys
import threading
from types import TracebackType

from crypto_core.log.tracebacks import crash_lines


def guard_process() -> None:
    """Switch core dumps off and replace crash output. Call once, before anything else."""
    _no_core_dumps()
    sys.excepthook = _crashed
    threading.excepthook = lambda arguments: _crashed(
        arguments.exc_type, arguments.exc_value or SystemExit(), arguments.exc_traceback
    )


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
