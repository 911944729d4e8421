"""What is printed when the console dies of an error that nobody expected: where it happened, no values.

Rich's tracebacks show local variables, and these may hold a token, a data key or a whole row.
"""

from __future__ import annotations

import traceback

from rich.text import Text
from textual.worker import WorkerFailed

from crypto_core.foreign import clean

EXIT_CODE = 3


def crash_report(error: BaseException) -> Text:
    """Return the error's type and cleaned text, and the stack as file, line and function, oldest call first."""
    if isinstance(error, WorkerFailed):
        error = error.error
    lines = [f"Keydeck stopped: {clean(type(error).__name__, 80)}: {clean(error)}".rstrip(": ")]
    for cause in _chain(error):
        if cause is not error:
            lines.append(f"  caused by {clean(type(cause).__name__, 80)}: {clean(cause)}".rstrip(": "))
        lines += [
            f"    {clean(frame.filename)}:{frame.lineno} in {clean(frame.name, 120)}"
            for frame in traceback.extract_tb(cause.__traceback__, limit=-12)
        ]
    lines.append("Nothing was changed by this. Please report it with these lines; they hold no values.")
    return Text("\n".join(lines))


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain and len(chain) < 5:
        chain.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return chain
