"""Opens the console on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.settings import Settings


def open_console(*, read_only: bool | None, screen: str, settings: Settings | None = None) -> int:
    """Run the console until the operator leaves; returns the exit code. Raises SettingsError.

    `settings` stands in for what files and environment say, for the sandbox.
    """
    from console.app import KeydeckApp
    from console.context import ConsoleContexts
    from console.keymap import checked_keys
    from console.logfile import logging_to
    from console.memory_file import remembered
    from console.settings import load

    settings = settings or load({"read_only": read_only}).settings
    with logging_to(settings) as log:
        contexts = ConsoleContexts(settings)
        try:
            app = KeydeckApp(
                contexts.services,
                start_screen=screen,
                memory=remembered(),
                log=log,
                theme=settings.theme,
                intervals=settings.refresh,
                keys=checked_keys(settings.keys),
                reduced_motion=settings.reduced_motion,
            )
            app.run()
        finally:
            contexts.close()
        return app.return_code or 0
