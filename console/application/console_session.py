"""The console on a terminal, until the operator leaves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.settings import Settings


GRACE_SECONDS = 5.0
"""How long processes that work on jobs may take to write what they hold before the terminal is given back."""


def open_console(
    *,
    read_only: bool | None,
    screen: str,
    settings: Settings | None = None,
    remember: bool = True,
    welcomes: bool = False,
) -> int:
    """Run the console until the operator leaves; returns the exit code. Raises SettingsError.

    `settings` stands in for what files and environment say, for the sandbox. Without `remember` nothing of
    what the operator chose is kept. With `welcomes` it opens with the welcome card.
    """
    from console.garbage import uncollected
    from console.heap import share_heap

    share_heap()
    with uncollected():
        return _run(
            read_only=read_only, screen=screen, settings=settings, remember=remember, welcomes=welcomes
        )


def _run(
    *, read_only: bool | None, screen: str, settings: Settings | None, remember: bool, welcomes: bool
) -> int:
    from console.application.code_dialogs import CodeDialogs
    from console.application.context import ConsoleContexts
    from console.application.end_signals import as_before
    from console.application.prefetch import foreseen
    from console.container import Container
    from console.extensions import use_extensions
    from console.files.logfile import logging_to
    from console.files.memory_file import remembered
    from console.settings import load
    from screens.memory import Memory

    settings = settings or load({"read_only": read_only}).settings
    use_extensions(settings.extensions)
    with logging_to(settings) as log:
        codes = CodeDialogs()
        contexts = ConsoleContexts(settings, making=partial(Container, ask_code=codes))
        try:
            memory = remembered() if remember else Memory()
            services = foreseen(contexts.services, screen, memory)
            # Loaded while the database answers.
            from console.application.app import KeydeckApp
            from console.application.keymap import check_commands, checked_keys

            check_commands([one.command() for one in settings.user_commands], settings.keys)

            app = KeydeckApp(
                services,
                start_screen=screen,
                memory=memory,
                log=log,
                theme=settings.theme,
                intervals=settings.refresh,
                keys=checked_keys(settings.keys),
                reduced_motion=settings.reduced_motion,
                codes=codes,
                hears_signals=True,
                welcomes=welcomes,
            )
            with as_before():
                app.run()
        finally:
            codes.leave()
            left = contexts.close()
            _say_left(left, stays=remember)
            if left:
                contexts.wait(GRACE_SECONDS)
        return app.return_code or 0


def _say_left(jobs: tuple[int, ...], *, stays: bool = True) -> None:
    """Report the jobs that this console stops working on; the database keeps their progress, if it lasts."""
    from console.printed.output import say

    for job in jobs:
        how = f"Continue it with: keydeck jobs join {job}" if stays else "It ends with the sandbox."
        say(f"Job {job} is no longer worked on from here. {how}")
