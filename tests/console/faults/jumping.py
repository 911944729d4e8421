"""The command on a host whose clock jumps: each line on standard input puts it so many seconds off.

What tells the wall clock's time is replaced before anything else is loaded.
"""

import datetime as dt
import sys
import time
from threading import Thread
from typing import Any

_OFF = [0.0]
_now, _real = time.time, dt.datetime


class _AlsoTheReal(type):
    """What the interpreter and its extensions make are datetimes, too."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _real)


class _Jumping(_real, metaclass=_AlsoTheReal):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _real.now(tz) + dt.timedelta(seconds=_OFF[0])

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(dt.UTC).replace(tzinfo=None)


def _listen() -> None:
    for line in sys.stdin:
        _OFF[0] = float(line)
        print(f"jumped {line.strip()}", file=sys.stderr, flush=True)


time.time = lambda: _now() + _OFF[0]
dt.datetime = _Jumping  # type: ignore[misc]

if __name__ == "__main__":
    Thread(target=_listen, daemon=True).start()
    from console.__main__ import main

    main(sys.argv[1:])
