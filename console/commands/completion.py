"""keydeck completion: the script by which a shell completes the command."""

from __future__ import annotations

import click

from console.completion.shells import SHELLS, script


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, *, shell: str) -> None:
    """Print the script by which SHELL completes commands, options, keys, references, runbooks, incidents.

    \b
    bash  eval "$(keydeck completion bash)"           in ~/.bashrc
    zsh   eval "$(keydeck completion zsh)"            in ~/.zshrc, behind compinit
    fish  keydeck completion fish >~/.config/fish/completions/keydeck.fish
    """
    click.echo(script(shell, ctx.find_root().command), nl=False)
