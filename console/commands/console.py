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
    from console.settings import load
    from console.wiring import wire

    services = wire(settings or load({"read_only": read_only}).settings)
    app = KeydeckApp(services.services, start_screen=screen)
    app.run()
    return app.return_code or 0
