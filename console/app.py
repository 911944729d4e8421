"""The console on a terminal: its screens, its themes, the ways between them, and how it ends."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType

from console.crash import EXIT_CODE, crash_report
from console.themes import DARK, LIGHT, THEMES
from screens.ages import Clock, system_clock
from screens.blocking import DaemonThreads
from screens.connections.screen import ConnectionsScreen
from screens.facts import Facts
from screens.help.screen import Help
from screens.keys.key_screen import KeyScreen
from screens.keys.screen import KeysScreen
from screens.routes import KeyBehind, TokensBehind
from screens.services import Services
from screens.status.screen import StatusScreen
from screens.widgets.line_list import LineList

REFRESH_SECONDS = 30
"""How often the surroundings are asked anew, and the status while it is on screen."""


class KeydeckApp(App[None]):
    """Three modes over one bundle of services. `return_code` is 0, or 3 after a crash."""

    TITLE = "keydeck"
    SUB_TITLE = "envelope encryption of API tokens"
    ENABLE_COMMAND_PALETTE = False
    CSS = "Toast { background: $panel; padding: 0 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "mode('status')", "status", tooltip="Status: are we all right?"),
        Binding(
            "2", "mode('connections')", "connections", tooltip="Connections: which tokens, in what state?"
        ),
        Binding("3", "mode('keys')", "keys", tooltip="Keys: which KMS keys guard the tokens?"),
        Binding("t", "theme", "theme", show=False, tooltip="Dark or light"),
        Binding("question_mark", "help", "help", key_display="?", tooltip="What can be done here and now"),
        Binding("ctrl+q", "quit", "quit", show=False, priority=True, system=True),
        Binding("q", "quit", "quit", tooltip="Leave Keydeck at once; calls under way are dropped"),
    ]

    def __init__(
        self, services: Services, *, start_screen: str = "status", clock: Clock = system_clock
    ) -> None:
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DARK.name
        self.facts = Facts(self, services, clock)
        self._start_screen = start_screen
        self._connections = ConnectionsScreen(self.facts)
        self.add_mode("status", lambda: StatusScreen(self.facts))
        self.add_mode("connections", lambda: self._connections)
        self.add_mode("keys", lambda: KeysScreen(self.facts))

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of ours that a foreign theme (TEXTUAL_THEME) doesn't define."""
        return dict((DARK if self.current_theme.dark else LIGHT).variables)

    def on_mount(self) -> None:
        """Begin on the first screen, with everything asked for."""
        asyncio.get_running_loop().set_default_executor(DaemonThreads())
        self.switch_mode(self._start_screen)
        self.facts.ask_surroundings()
        self.facts.ask_keys()
        self.facts.ask_status()
        self.set_interval(REFRESH_SECONDS, self.ask_again)

    def on_unmount(self) -> None:
        """Tell the calls that are under way that nobody waits for them."""
        self.facts.leave()

    def ask_again(self) -> None:
        """Ask for what changes by itself."""
        self.facts.ask_surroundings()
        if self.current_mode == "status":
            self.facts.ask_status()

    @on(LineList.Followed)
    async def follow(self, event: LineList.Followed) -> None:
        """Go to the tokens or the key behind a line; Esc there comes back."""
        match event.target:
            case TokensBehind(filter=expression):
                self._connections.show_filter(expression, origin=self.current_mode)
                self.switch_mode("connections")
            case KeyBehind(key_arn=arn):
                await self.switch_mode("keys")
                if isinstance(self.screen, KeyScreen):
                    await self.pop_screen()
                self.push_screen(KeyScreen(self.facts, arn))

    def action_mode(self, mode: str) -> None:
        """Go to one of the main screens."""
        self.switch_mode(mode)

    def action_theme(self) -> None:
        """Change between dark and light."""
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    def action_help(self) -> None:
        """Explain what can be done on this screen, now."""
        place = self.facts.surroundings.value
        read_only = self.facts.services.read_only or (place is not None and place.read_only)
        self.push_screen(
            Help(self.current_mode.capitalize(), self.screen.active_bindings.values(), read_only)
        )

    def action_help_quit(self) -> None:
        """Ctrl+C does not quit: an operator may only want to copy."""
        self.notify("q quits", markup=False)

    async def action_quit(self) -> None:
        """Leave at once."""
        self.facts.leave()
        self.exit()

    def _handle_exception(self, error: Exception) -> None:
        """End with a report without values, where Textual would print every frame's local variables."""
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._return_code = EXIT_CODE
        self._exit_renderables.append(crash_report(error))
        self._close_messages_no_wait()
