"""What keeps secrets inside the process when it fails: no core dumps, no values in crash output."""

from __future__ import annotations

import sys
import threading
from types import TracebackType

from crypto_core.log.tracebacks import crash_lines

_PR_SET_DUMPABLE = 4


def guard_process() -> None:
    """Switch core dumps off and replace crash output. Call once, before anything else.

    On Linux nobody but root then reads this process's memory either, nor attaches to it: no debugger and no
    other process of the same user. Programs that it starts are not concerned.
    """
    _no_core_dumps()
    _not_dumpable()
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


def _not_dumpable() -> None:
    """A core that the kernel pipes to a program is made whatever RLIMIT_CORE says (core(5), prctl(2))."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
