"""The console on a terminal: its screens, its themes, what can be done everywhere, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual import on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.events import Event, InputEvent, Key, Paste
from textual.message_pump import MessagePump
from textual.widgets import Input
from textual.worker import WorkerFailed

from console.application import end_signals
from console.application.themes import DARK, THEMES, defaults_for, theme_after, theme_named
from console.capabilities import main_screens
from console.garbage import collect_again
from console.heap import give_back
from crypto_core.log.tracebacks import crash_lines
from crypto_core.values.clean_text import clean
from screens.actions.action import Action
from screens.actions.performer import Actor, perform, within_reach
from screens.actions.registry import ACTIONS
from screens.blocking_calls import DaemonThreads, Failure
from screens.command_line import CommandChoice as Command
from screens.command_line import CommandLine
from screens.facts import ScreenFacts
from screens.leavable_screen import LeavableScreen
from screens.list_screen import ListScreen
from screens.main_screen import MainScreen
from screens.memory import Memory
from screens.moments import Clock, system_clock
from screens.navigation import Navigation
from screens.routes import EstateRoute, EstatesRoute, Followed, ManualRoute, NarrowedEventsRoute
from screens.services import JobProcesses, Services
from screens.widgets.cursor_view import CursorView
from screens.widgets.line_input import LONGEST
from screens.widgets.panes import Arrangement, Panes
from screens.worker_calls import ask

if TYPE_CHECKING:
    from textual.driver import Driver
    from textual.screen import Screen
    from textual.timer import Timer

    from console.application.code_dialogs import CodeDialogs
    from crypto_core.log.logbook import LogBook
    from screens.context import ContextChange
    from screens.help import Doable


NAMES = main_screens()
"""The main screens, in the order in which they stand side by side."""


def main_screen(name: str, facts: ScreenFacts) -> MainScreen:
    return cast("MainScreen", load_screen(f"{name}.screen.{name.capitalize()}Screen")(facts))


def screen_for(target: object, facts: ScreenFacts) -> MainScreen | None:
    """Return the screen that a route names; None where it leads to a screen that is open."""
    path = getattr(target, "SCREEN", None)
    if path is None:
        return None
    given = [getattr(target, field.name) for field in fields(cast("Any", target))]
    return cast("MainScreen", load_screen(path)(facts, *given))


def load_screen(path: str) -> type[Any]:
    """Return the screen of a path below `screens`; its module is imported when it is first opened."""
    module, _, name = path.rpartition(".")
    screen: type[Any] = getattr(import_module(f"screens.{module}"), name)
    return screen


_RANKS = {"everywhere": 1, "table": 2, "list": 3}


def _rank(reached: tuple[Actor, Action]) -> int:
    """In which order commands are offered: those of the screen first, moving about last."""
    return _RANKS.get(reached[1].scope, 0)


_log = logging.getLogger(__name__)

CRASHED = 3
"""The return code after a crash."""

ROWS_FIRST_SECONDS = 0.4
LOADED_SECONDS = 2.0
"""After so long everything that is needed at first has been loaded."""
MOUNT_SECONDS = 2.0
"""How long an input waits for the screen that it is for."""
SURROUNDINGS_SECONDS = 10
"""How often it is asked where the console works: trouble shows, and goes, within that time."""


class KeydeckApp(Actor, App[None]):
    """Main screens side by side over one bundle of services.

    `return_code` is 0, 3 after a crash, 128 and its number after a signal.
    """

    TITLE = "keydeck"
    SUB_TITLE = "envelope encryption of API tokens"
    ENABLE_COMMAND_PALETTE = False
    CSS = "Toast { background: $panel; padding: 0 1; }"
    ACTS: ClassVar[tuple[str, ...]] = ("everywhere",)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", "quit", show=False, priority=True, system=True),
    ]

    def __init__(
        self,
        services: Services,
        *,
        start_screen: str = "status",
        clock: Clock = system_clock,
        memory: Memory | None = None,
        log: LogBook | None = None,
        theme: str = "",
        intervals: Mapping[str, float] | None = None,
        keys: Mapping[str, str] | None = None,
        reduced_motion: bool = False,
        codes: CodeDialogs | None = None,
        hears_signals: bool = False,
        welcomes: bool = False,
    ) -> None:
        """`keys` are other keys for actions, by the action's id. `theme` is the one of the settings.

        `codes` asks for the codes of MFA devices on this app's screens. With `hears_signals` those that end a
        process end it as `q` does; see end_signals. With `welcomes` it opens with the welcome card, unless
        it's remembered that the card was shown.
        """
        super().__init__()
        for known in THEMES:
            self.register_theme(known)
        self.facts = ScreenFacts(self, services, clock, memory=memory, intervals=intervals, log=log)
        chosen = self.facts.memory.theme or theme
        self.theme = theme_named(chosen, self.available_themes) or DARK.name
        if reduced_motion:
            self.animation_level = "none"
        self.navigation = Navigation(self, {name: partial(main_screen, name, self.facts) for name in NAMES})
        self._start_screen = start_screen
        self._codes = codes
        self._hears_signals = hears_signals
        self._welcomes = welcomes
        self._crews: list[JobProcesses] = []
        """What works on jobs in places that were left: it goes on there."""
        self.set_keymap(dict(keys or {}))

    # What actions are told

    @property
    def read_only(self) -> bool:
        return self.facts.read_only

    def tell(self, message: str, *, trouble: bool = False) -> None:
        """Say something in passing; the text is text, never markup."""
        self.notify(clean(message), severity="warning" if trouble else "information", markup=False)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of ours that a foreign theme doesn't define."""
        return defaults_for(self.current_theme)

    def get_driver_class(self) -> type[Driver]:
        """Textual's driver, but on a terminal the one that waits for keys."""
        chosen = super().get_driver_class()
        if chosen.__name__ != "LinuxDriver":
            return chosen
        from console.application.driver import WaitingDriver

        return WaitingDriver

    # From beginning to end

    def on_load(self) -> None:
        """Hear signals before the terminal is anything but what it was."""
        if self._hears_signals:
            end_signals.hear(self._end)

    async def on_mount(self) -> None:
        asyncio.get_running_loop().set_default_executor(DaemonThreads())
        await self.navigation.start(self._start_screen)
        if self._welcomes and not self.facts.memory.welcomed:
            self._welcome()
        if self._codes is not None:
            self._codes.serve(self)
        if self._start_screen in ("status", "keys"):
            self.facts.ask_all()
        else:
            # Rows first: loading AWS's library takes the time that they need to be painted.
            self.set_timer(ROWS_FIRST_SECONDS, self.facts.ask_all)
        self.set_interval(SURROUNDINGS_SECONDS, self.facts.ask_surroundings)
        self.set_timer(LOADED_SECONDS, self._settle)

    def _settle(self) -> None:
        """What was needed to load is needed no more."""
        collect_again()
        give_back()

    def _welcome(self) -> None:
        from screens.welcome_card import WelcomeCard

        self.facts.memory.remember_welcome()
        self.push_screen(WelcomeCard(), self._begin_with)

    async def _begin_with(self, command: str | None) -> None:
        if command:
            await self.run_command(command)

    async def on_event(self, event: Event) -> None:
        """An input waits for the screen that it is for. What is pasted is foreign text: it enters cleaned."""
        if isinstance(event, InputEvent | Paste):
            # Not for ever: a screen may be gone before it is there.
            with suppress(TimeoutError):
                async with asyncio.timeout(MOUNT_SECONDS):
                    while not (screen := self.screen).is_mounted:
                        await screen._mounted_event.wait()  # noqa: SLF001 - Textual waits only before it is pushed
            if isinstance(screen := self.screen, LeavableScreen) and screen.premature(event):
                return
        if isinstance(event, Paste) and not event.is_forwarded:
            event = Paste(clean(event.text, LONGEST))
        await super().on_event(event)

    async def _check_bindings(self, key: str, priority: bool = False) -> bool:
        """A list takes no key but by its bindings: such a key need not pass all that the list stands in."""
        if await super()._check_bindings(key, priority):
            return True
        return priority and isinstance(self.focused, CursorView) and await super()._check_bindings(key)

    async def push_screen_wait(self, screen: Screen[Any] | str, *, mode: str | None = None) -> Any:
        """Wait for an answer alone: a worker that ends in Textual's wait, for screens to go, ends the app."""
        return await asyncio.shield(self.push_screen(screen, wait_for_dismiss=True, mode=mode))

    def on_key(self, event: Key) -> None:
        """A letter that no field took though one is there was typed before it was: it is the field's."""
        if event.is_printable and isinstance(self.focused, Input):
            self.focused.insert_text_at_cursor(event.character or "")
            event.prevent_default()

    def on_unmount(self) -> None:
        self.facts.leave()

    @on(Followed)
    async def follow(self, event: Followed) -> None:
        """Follow a line to its screen, unless the operator has gone elsewhere meanwhile."""
        if event.origin is not self.screen:
            return
        if isinstance(event.target, NarrowedEventsRoute):
            self._narrow_events(event.target.filter)
        elif isinstance(event.target, EstateRoute):
            self.do_context(f"estate {event.target.estate}")
        elif (screen := screen_for(event.target, self.facts)) and not await self.navigation.deeper(screen):
            self.tell("Too many screens are open; Esc goes back.")

    def _narrow_events(self, expression: str) -> None:
        """Back to the list of events below, under another filter."""
        from screens.events.screen import EventsScreen

        depth, events = [
            (depth, one) for depth, one in enumerate(self.screen_stack) if isinstance(one, EventsScreen)
        ][-1]
        events.show_filter(expression)
        self.navigation.ascend(depth)

    # Actions

    def do_back(self) -> None:
        """One step back within the screen, else to the screen below."""
        if isinstance(self.screen, MainScreen) and not self.screen.back():
            self.navigation.back()

    def action_ascend(self, depth: int) -> None:
        self.navigation.ascend(depth)

    def do_help(self) -> None:
        from screens.help import Help

        title = self.screen.crumb[0] if isinstance(self.screen, MainScreen) else ""
        self.push_screen(Help(title, self._doables()), self._read_on)

    async def _read_on(self, wanted: bool | None) -> None:
        if wanted:
            await self.do_manual("")

    async def do_estates(self) -> None:
        if isinstance(self.screen, MainScreen):
            self.screen.post_message(Followed(EstatesRoute()))

    async def do_manual(self, words: str) -> None:
        """The manual's pages; those that have some words."""
        if isinstance(self.screen, ListScreen) and self.screen.NAME == "manual":
            self.screen.pane.show_filter(words)
        elif isinstance(self.screen, MainScreen):
            self.screen.post_message(Followed(ManualRoute(words)))

    def _doables(self) -> list[Doable]:
        from screens.help import Doable

        keys: dict[str, list[str]] = {}
        for active in self.screen.active_bindings.values():
            keys.setdefault(active.binding.id or "", []).append(self.get_key_display(active.binding))
        doables = []
        for actor, action in within_reach(self.screen):
            why_not = "" if actor.possible(action) else "not now"
            if action.changes and self.read_only:
                why_not = "read-only"
            doables.append(Doable(action, tuple(dict.fromkeys(keys.get(action.id, ()))), why_not))
        order = {action.id: number for number, action in enumerate(ACTIONS)}
        return sorted(doables, key=lambda d: order[d.action.id])

    def do_command(self) -> None:
        values = {"theme": tuple(self._theme_names()), "filter": self._saved_names(), "sort": self._sorts()}
        choices = [
            Command(
                action.name,
                action.argument,
                action.explanation,
                bool(actor.possible(action)) and not (action.changes and self.read_only),
                values.get(action.name, ()),
            )
            for actor, action in sorted(within_reach(self.screen), key=_rank)
        ]
        line = CommandLine(choices, self.facts.memory.history("command"))
        self.push_screen(line, self._typed)

    async def _typed(self, text: str | None) -> None:
        if text:
            self.facts.memory.remember("command", text)
            await self.run_command(text)

    async def run_command(self, text: str) -> bool:
        """Do what a command says, as if its key had been pressed; returns whether it was begun."""
        name, _, argument = clean(text.strip(), LONGEST).partition(" ")
        for actor, action in within_reach(self.screen):
            if name.lower() in action.commands:
                return await perform(actor, action, argument.strip())
        self.tell(f"No command :{name} here; ? lists the commands.", trouble=True)
        return False

    def do_refresh(self) -> None:
        self.facts.ask_surroundings()
        if isinstance(self.screen, MainScreen):
            self.screen.ask_anew()

    def do_pause(self) -> None:
        if isinstance(self.screen, MainScreen):
            self.screen.refreshing.pause()
            self.screen.show_facts()

    def do_layout(self, words: str) -> None:
        """Arrange list and detail as named, or in the next way."""
        panes = next(iter(self.screen.query(Panes)), None)
        if panes is None:
            self.tell("This screen has no list with a detail.")
            return
        chosen = next((one for one in Arrangement if one == words), None) if words else panes.next()
        if chosen is None:
            self.tell(f"There is no layout {words}. Layouts: {', '.join(Arrangement)}.", trouble=True)
            return
        self.facts.memory.remember_arrangement(chosen)
        panes.follow_choice()
        self.tell(f"Layout: {panes.arrangement.words}")

    def do_theme(self, name: str) -> None:
        chosen = theme_named(name, self.available_themes) if name else theme_after(self.theme)
        if chosen is None:
            self.tell(f"There is no theme {name}. Themes: {', '.join(self._theme_names())}.", trouble=True)
            return
        self.theme = chosen
        self.facts.memory.remember_theme(chosen)
        self.tell(f"Theme: {chosen}")

    def _theme_names(self) -> list[str]:
        own = [theme.name for theme in THEMES]
        return [*own, *(name for name in self.available_themes if name not in own)]

    def _saved_names(self) -> tuple[str, ...]:
        if not isinstance(self.screen, MainScreen):
            return ()
        return tuple(f"@{name}" for name in self.facts.memory.saved_filters(self.screen.NAME))

    def _sorts(self) -> tuple[str, ...]:
        for actor, action in within_reach(self.screen):
            if action.id == "table.sort":
                listing = getattr(actor, "listing", None)
                return tuple(c.name for c in listing.columns if c.sort) if listing is not None else ()
        return ()

    # Where to work

    def do_context(self, argument: str) -> None:
        from screens.context import ContextChange, ContextDialog

        contexts = self.facts.services.contexts
        if contexts is None:
            self.tell("The context can't be changed here.", trouble=True)
            return
        if not argument:
            self.push_screen(ContextDialog(contexts), self._switch)
            return
        kind, _, name = argument.partition(" ")
        if kind not in ("profile", "database", "estate") or not name.strip():
            self.tell("Write :context profile, database or estate, and its name.", trouble=True)
            return
        self._switch(ContextChange(**{kind: name.strip()}))

    def _switch(self, choice: ContextChange | None) -> None:
        contexts = self.facts.services.contexts
        if choice is None or contexts is None:
            return
        ask(self, lambda _: contexts.switch(**asdict(choice)), self._switched, group="switch")

    async def _arrive(self, services: Services) -> None:
        self._crews.append(self.facts.services.job_processes)
        self.facts.use(services)
        await self.navigation.start_over()
        self.tell("Context changed; everything is being reloaded.")

    def _switched(self, answer: Services | Failure) -> None:
        if isinstance(answer, Failure):
            self.tell(str(answer), trouble=True)
        else:
            self.call_later(self._arrive, answer)

    # The end

    def action_help_quit(self) -> None:
        """Ctrl+C does not quit: an operator may only want to copy."""
        self.tell("q quits")

    async def action_quit(self) -> None:
        """Leave at once; while this console works on a job or an incident's step, only if that is meant."""
        from screens.incidents.step_runs import runs_of

        jobs = self._jobs_here()
        actions = {incident: run.words for (incident, _), run in runs_of(self.facts).running.items()}
        if not jobs and not actions:
            self._leave(True)
            return
        from screens.widgets.question import Leaving

        if isinstance(self.screen, Leaving):
            self._leave(True)
        else:
            self.push_screen(Leaving(jobs, actions), self._leave)

    do_quit = action_quit

    def _leave(self, meant: bool | None) -> None:
        if meant:
            self._end(0)

    def _end(self, code: int) -> None:
        self.facts.leave()
        self.exit(return_code=code)

    def _jobs_here(self) -> tuple[int, ...]:
        """The jobs that this console works on, here and in the places that were left."""
        crews = [*self._crews, self.facts.services.job_processes]
        return tuple(sorted({job for crew in crews for job in crew.at_work()}))

    def possible(self, action: Action) -> bool | None:
        if action.name == "context" and self.facts.services.contexts is None:
            return None
        return super().possible(action)

    def _handle_exception(self, error: Exception) -> None:
        """End with a report without values, where Textual would print every frame's local variables."""
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._return_code = CRASHED
        report = "\n".join(crash_lines(error.error if isinstance(error, WorkerFailed) else error))
        _log.error("The console stopped: %s", report)
        self._exit_renderables.append(Text(report))
        self._close_messages_no_wait()


def _set_timer(pump: MessagePump, *arguments: Any, **more: Any) -> Timer:
    """Call late rather than never: if a time has passed at once, Textual skips it, or spins for ever."""
    timer = _textuals(pump, *arguments, **more)
    timer._skip = False  # noqa: SLF001 - no parameter leads there
    return timer


_textuals = MessagePump.set_timer
MessagePump.set_timer = _set_timer  # type: ignore[assignment,method-assign]
for _name in NAMES:
    # Each main screen is gone to by its name.
    setattr(KeydeckApp, f"do_{_name}", lambda self, name=_name: self.navigation.go(name))
