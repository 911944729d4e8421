"""keydeck demo."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

import click

from console.commands.session import read_only_asked
from console.extras import require_extra
from console.practice.game_day import GAMES
from console.printed.output import print_json, say

if TYPE_CHECKING:
    from console.practice.game_day.game import Game
    from console.practice.game_day.score import Score
    from console.sandbox.sandbox import Sandbox

_SECRETS = 20
"""So many connections the sandbox has for each connector and MCP server, whose secrets are in one column."""
_LIST = "list"
_CONSOLE, _SHELL, _ENV = "console", "shell", "env"
_LOADED_AHEAD = (
    "console.practice.story",
    "crypto_core.trail.sources.puller",
    "boto3",
    "console.application.app",
)
"""What the demo needs next, in that order."""
_PACE = 3.0
"""The platform's team looks every 5 seconds what there is to do."""


@click.command()
@click.option(
    "--tokens",
    "connections",
    type=click.IntRange(min=20, max=2_000_000),
    default=2000,
    show_default=True,
    help="Connections to generate; some have two tokens.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed makes the same data.")
@click.option(
    "--drill", is_flag=True, help="Play the drill, or a scenario by its defaults, on a terminal too."
)
@click.option(
    "--scenario",
    type=click.Choice([*GAMES, _LIST]),
    help=(
        "A game day: an intruder acts while you respond, and your times are scored; list names the scenarios."
    ),
)
@click.option(
    "--pace",
    type=click.FloatRange(min=0.1, max=10_000),
    default=1.0,
    show_default=True,
    help="How many times faster than the script the intruder moves; your own times are never scaled.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a game day's score as one JSON document.")
@click.option(
    "--shell", "way", flag_value=_SHELL, help="Open your shell, in which every command works on the sandbox."
)
@click.option(
    "--env",
    "way",
    flag_value=_ENV,
    help="Print the environment for other terminals, and keep the sandbox until Ctrl-C or the end of input.",
)
def demo(
    *,
    connections: int,
    seed: int,
    drill: bool,
    scenario: str | None,
    pace: float,
    as_json: bool,
    way: str | None,
) -> int:
    """Start a sandbox: a real PostgreSQL and a local AWS endpoint, with generated connections.

    On a terminal the console opens over it, with a past; otherwise the key-compromise drill, or the scenario
    by somebody who accepts every default, is played and told as text. A game day ends with its score, and
    with status 0 if all its ends were reached, else 1. With --shell the status is the shell's. Nothing is
    left behind.
    """
    if scenario is None and (as_json or pace != 1.0):
        raise click.UsageError("--pace and --json are for a game day: name one with --scenario.")
    if way and (scenario or drill):
        raise click.UsageError("--shell and --env are for the demo itself: leave --scenario and --drill out.")
    if scenario == _LIST:
        from console.practice.game_day.story_text import scenario_lines

        for line in scenario_lines():
            click.echo(line)
        return 0
    require_extra("demo", "The sandbox")
    read_only = read_only_asked()
    if scenario is not None and read_only:
        raise click.UsageError("A game day needs changes: leave --read-only out.")
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty() and not drill
    secrets = connections // _SECRETS if scenario is None else 0
    with _sandbox(connections, secrets, seed, loads_console=on_terminal and not way) as sandbox:
        if scenario is not None:
            from console.practice.game_day.game import Game
            from console.practice.game_day.scenario import SCENARIOS

            with Game(sandbox, SCENARIOS[scenario], pace=pace, seed=seed) as game:
                result = _console_game(game, pace) if on_terminal else _played(game, as_json=as_json)
            return _tell_score(result, as_json=as_json)
        if way or on_terminal:
            return _open(sandbox, way or _CONSOLE, read_only=read_only)
        from console.practice.drill import Drill

        return Drill(sandbox).play()


@contextmanager
def _sandbox(connections: int, secrets: int, seed: int, *, loads_console: bool) -> Iterator[Sandbox]:
    """Give a sandbox that this process's environment points at, Keydeck's schema installed."""
    from console.sandbox.interruption import terminate_on_signal
    from console.sandbox.sandbox import Sandbox

    with terminate_on_signal():
        say(f"Starting the sandbox with {connections:,} connections …")
        if loads_console:
            # While its servers start.
            Thread(target=lambda: [import_module(name) for name in _LOADED_AHEAD], daemon=True).start()
        with Sandbox.start(connections=connections, secrets=secrets, seed=seed) as sandbox:
            from console.container import Container
            from console.practice.surroundings import demo_settings
            from console.settings import load
            from crypto_core.database.state.installation import install

            # boto3 reads its settings from the process's environment.
            environment = sandbox.environment() | demo_settings(sandbox)
            os.environ.clear()
            os.environ.update(environment)
            with closing(Container(load().settings)) as owner:
                install(owner.engine)
            yield sandbox


def _open(sandbox: Sandbox, way: str, *, read_only: bool | None) -> int:
    """Tell the demo's story, let the platform play along, and open the console, a shell, or neither."""
    from console.practice.game_day.platform_team import PlatformTeam
    from console.practice.story import Story
    from console.practice.surroundings import demo_settings, export_lines, run_shell, wait_until_ended
    from console.sandbox.platform_part import PlatformPart

    platform = PlatformPart(sandbox)
    platform.let_add_rows()
    team = PlatformTeam(platform, platform.damaged, pace=_PACE)
    with Story(sandbox, platform) as story, team:
        story.begin()
        if way == _CONSOLE:
            return _console(read_only=read_only, welcomes=True)
        settings = demo_settings(sandbox, read_only=read_only)
        if way == _SHELL:
            story.wait()
            say("In this shell every keydeck command works on the sandbox; exit ends both.")
            return run_shell(os.environ | settings)
        for line in export_lines(settings):
            click.echo(line)
        sys.stdout.flush()
        say("Give these lines to another terminal's shell. Ctrl-C ends the sandbox.")
        wait_until_ended()
        return 0


def _console(*, read_only: bool | None, welcomes: bool = False) -> int:
    from console.application.console_session import open_console
    from console.settings import load

    settings = load({"read_only": read_only}).settings
    return open_console(
        read_only=read_only, screen="status", settings=settings, remember=False, welcomes=welcomes
    )


def _console_game(game: Game, pace: float) -> Score:
    """The operator responds in the console; the score is reckoned once it is left."""
    from console.container import Container
    from console.practice.game_day.platform_team import PlatformTeam
    from console.practice.game_day.story_text import briefing_lines
    from console.settings import load

    for line in briefing_lines(game.scenario):
        click.echo(line)
    click.echo("Quit the console (q) when you are done; then the score is computed.")
    click.prompt("Press Enter to begin", default="", show_default=False, prompt_suffix=" …")
    game.begin()
    with PlatformTeam(game.platform, game.cut_off, pace=pace):
        _console(read_only=None)
    with closing(Container(load().settings)) as container:
        return game.finish(container.services.incidents)


def _played(game: Game, *, as_json: bool) -> Score:
    from console.practice.game_day.player import Player

    return Player(game, say if as_json else click.echo).play()


def _tell_score(score: Score, *, as_json: bool) -> int:
    from console.practice.game_day.story_text import score_lines

    if as_json:
        print_json(score.as_json())
    else:
        for line in score_lines(score):
            click.echo(line)
    return 0 if score.reached else 1
