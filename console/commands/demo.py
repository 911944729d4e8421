"""keydeck demo."""

from __future__ import annotations

import os
import sys

import click

from console.printing import say


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
@click.option("--drill", is_flag=True, help="Play the drill on a terminal too.")
@click.pass_context
def demo(ctx: click.Context, *, connections: int, seed: int, drill: bool) -> int:
    """Start a sandbox: a real PostgreSQL and a local AWS endpoint, with generated connections.

    On a terminal the console opens over it; otherwise the key-compromise drill is played and told as text.
    Nothing is left behind.
    """
    from console.sandbox.interruption import terminate_on_signal
    from console.sandbox.sandbox import Sandbox
    from console.settings import load
    from console.wiring import wire
    from crypto_core.database.installation import install

    on_terminal = sys.stdin.isatty() and sys.stdout.isatty() and not drill
    read_only = (ctx.find_root().obj or {}).get("read_only")
    with terminate_on_signal():
        say(f"Starting the sandbox with {connections:,} connections …")
        with Sandbox.start(connections=connections, seed=seed) as sandbox:
            # boto3 reads its settings from the process's environment.
            environment = sandbox.environment()
            os.environ.clear()
            os.environ.update(environment)
            owner = wire(load().settings)
            try:
                install(owner.engine)
            finally:
                owner.close()
            if not on_terminal:
                from console.drill import Drill

                return Drill(sandbox).play()
            from console.commands.console import open_console

            # The log goes with the sandbox: nothing of a demonstration is left behind.
            log_file = str(sandbox.folder / "keydeck.log")
            options = {"read_only": read_only, "environment": "demo", "log_file": log_file}
            settings = load(options).settings
            return open_console(read_only=read_only, screen="status", settings=settings, remember=False)
