"""What is printed when the console dies of an error that nobody expected: where it happened, no values."""

from __future__ import annotations

from rich.text import Text
from textual.worker import WorkerFailed

from crypto_core.foreign import clean
from screens.stacks import chain, stack_lines, type_name

EXIT_CODE = 3


def crash_report(error: BaseException) -> Text:
    """Return the error's type, its cleaned text and its stack, and those of the errors behind it."""
    if isinstance(error, WorkerFailed):
        error = error.error
    lines = []
    for number, cause in enumerate(chain(error)):
        lead = "  caused by" if number else "Keydeck stopped by an unexpected error:"
        lines.append(f"{lead} {type_name(cause)}: {clean(cause)}".rstrip(": "))
        lines += stack_lines(cause)
    lines.append("Please report this with these lines. They hold no variables.")
    return Text("\n".join(lines))
