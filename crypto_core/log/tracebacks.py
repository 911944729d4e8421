"""Where an error happened: its stack as file, line and function. No local variables, no text of the error.

Rich's tracebacks show local variables, and a driver's message may quote a row: either may hold a token.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KeydeckError

FRAMES = 12


def chain(error: BaseException) -> list[BaseException]:
    """Return the error and what it was raised from or while handling, the outermost first, at most five."""
    errors: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in errors and len(errors) < 5:
        errors.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return errors


def stack_lines(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__, limit=-FRAMES)
    return [f"    {_short(f.filename)}:{f.lineno} in {clean(f.name, 120)}" for f in frames]


def _short(path: str) -> str:
    return clean("/".join(Path(path).parts[-3:]), 120)


def type_name(error: BaseException) -> str:
    return clean(type(error).__name__, 80)


def crash_lines(error: BaseException) -> list[str]:
    """Return what is printed when Keydeck stops unexpectedly: each error of the chain with its stack.

    Only errors of ours show their text; another's may repeat a value, as ValueError and KeyError do.
    """
    lines = []
    for number, cause in enumerate(chain(error)):
        lead = "  caused by" if number else "Keydeck stopped by an unexpected error:"
        said = f": {cause.message}" if isinstance(cause, KeydeckError) else ""
        lines.append(f"{lead} {type_name(cause)}{said}")
        lines += stack_lines(cause)
    lines.append("Please report this with these lines. They hold no values.")
    return lines
