"""keydeck demo."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from console.commands.session import read_only_asked
from console.extras import DEMO, require_extra
from console.printed.printing import print_json, say

if TYPE_CHECKING:
    from console.game_day.game import Game
    from console.game_day.score import Score
    from console.sandbox.sandbox import Sandbox

GAMES = ("key-compromise", "token-leak", "insider", "ransom-disable", "inside-role")
_SECRETS = 20
"""So many connections the sandbox has for each connector and MCP server, whose secrets are in one column."""
_LIST = "list"


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
@click.option("--drill", is_flag=True, help="Play the drill, or a scenario's response, on a terminal too.")
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
@click.option(
    "--player",
    type=click.Choice(["defaults"]),
    help="Let a game day be played, without a terminal, by somebody who accepts every default.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a game day's score as one JSON document.")
def demo(
    *,
    connections: int,
    seed: int,
    drill: bool,
    scenario: str | None,
    pace: float,
    player: str | None,
    as_json: bool,
) -> int:
    """Start a sandbox: a real PostgreSQL and a local AWS endpoint, with generated connections.

    On a terminal the console opens over it; otherwise the key-compromise drill, or the scenario's response,
    is played and told as text. A game day ends with its score, and with status 0 if all its ends were
    reached, else 1. Nothing is left behind.
    """
    if scenario is None and (as_json or pace != 1.0 or player):
        raise click.UsageError("--pace, --player and --json are for a game day: name one with --scenario.")
    if scenario == _LIST:
        from console.game_day.story_text import scenario_lines

        for line in scenario_lines():
            click.echo(line)
        return 0
    require_extra(DEMO, "The sandbox")
    from console.container import Container
    from console.sandbox.interruption import terminate_on_signal
    from console.sandbox.sandbox import Sandbox
    from console.settings import load
    from crypto_core.database.state.installation import install

    on_terminal = sys.stdin.isatty() and sys.stdout.isatty() and not drill and not player
    read_only = read_only_asked()
    if scenario is not None and read_only:
        raise click.UsageError("A game day needs changes: leave --read-only out.")
    with terminate_on_signal():
        say(f"Starting the sandbox with {connections:,} connections …")
        secrets = connections // _SECRETS if scenario is None else 0
        with Sandbox.start(connections=connections, secrets=secrets, seed=seed) as sandbox:
            # boto3 reads its settings from the process's environment.
            environment = sandbox.environment()
            os.environ.clear()
            os.environ.update(environment)
            with closing(Container(load().settings)) as owner:
                install(owner.engine)
            if scenario is not None:
                from console.game_day.game import Game
                from console.game_day.scenarios import SCENARIOS

                with Game(sandbox, SCENARIOS[scenario], pace=pace, seed=seed) as game:
                    result = (
                        _console_game(game, pace)
                        if on_terminal
                        else _played(game, by_defaults=player == "defaults", as_json=as_json)
                    )
                return _tell_score(result, as_json=as_json)
            if not on_terminal:
                from console.commands.drill import Drill

                return Drill(sandbox).play()
            return _console(sandbox, read_only=read_only)


def _console(sandbox: Sandbox, *, read_only: bool | None) -> int:
    from console.application.console_session import open_console
    from console.settings import load

    # The log goes with the sandbox: nothing of a demonstration is left behind.
    log_file = str(sandbox.folder / "keydeck.log")
    settings = load({"read_only": read_only, "environment": "demo", "log_file": log_file}).settings
    return open_console(read_only=read_only, screen="status", settings=settings, remember=False)


def _console_game(game: Game, pace: float) -> Score:
    """The operator responds in the console; the score is reckoned once it is left."""
    from console.container import Container
    from console.game_day.platform_team import PlatformTeam
    from console.game_day.story_text import briefing_lines
    from console.settings import load

    for line in briefing_lines(game.scenario):
        click.echo(line)
    click.echo("Quit the console (q) when you are done; then the score is computed.")
    click.prompt("Press Enter to begin", default="", show_default=False, prompt_suffix=" …")
    team = PlatformTeam(game, pace=pace)
    game.begin()
    team.start()
    try:
        _console(game.sandbox, read_only=None)
    finally:
        team.stop()
    with closing(Container(load().settings)) as container:
        return game.finish(container.services.incidents)


def _played(game: Game, *, by_defaults: bool, as_json: bool) -> Score:
    from console.game_day.default_player import DefaultPlayer
    from console.game_day.responder import Responder

    tell = say if as_json else click.echo
    return (DefaultPlayer if by_defaults else Responder)(game, tell).play()


def _tell_score(score: Score, *, as_json: bool) -> int:
    """Print the score; returns 0 if every end was reached, else 1."""
    from console.game_day.story_text import score_lines

    if as_json:
        print_json(score.as_json())
    else:
        for line in score_lines(score):
            click.echo(line)
    return 0 if score.reached else 1
