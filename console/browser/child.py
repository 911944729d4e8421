"""The console behind a page: `python -m console.browser.child`, which only the server starts."""

from __future__ import annotations

import sys

from console.application.console_session import open_console
from console.exit_codes import exit_code
from console.printed.output import say
from console.secrecy import guard_process
from crypto_core.values.errors import KeydeckError


def main() -> None:
    """Run the console until its page or the server ends. `--read-only` refuses every change."""
    guard_process()
    try:
        code = open_console(read_only="--read-only" in sys.argv[1:] or None, screen="status")
    except KeydeckError as error:
        say(f"keydeck: {error}")
        code = exit_code(error)
    sys.exit(code)


if __name__ == "__main__":
    main()
