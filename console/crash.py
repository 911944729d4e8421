"""The console's crash report: where an unexpected error happened, without values."""

from __future__ import annotations

from rich.text import Text
from textual.worker import WorkerFailed

from crypto_core.log.tracebacks import crash_lines

EXIT_CODE = 3


def crash_report(error: BaseException) -> Text:
    """Return the report of an error, or of the one that a worker failed with."""
    return Text("\n".join(crash_lines(error.error if isinstance(error, WorkerFailed) else error)))
