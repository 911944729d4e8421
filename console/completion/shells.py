"""Scripts that let bash, zsh and fish ask keydeck how a word goes on; click's, but for bash.

There a colon ends a word (COMP_WORDBREAKS), and references and ARNs have some: its script hands the line over
as it is, and gets back what stands behind the last colon.
"""

from __future__ import annotations

import os
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from console.completion import COMPLETING

SHELLS = ("bash", "zsh", "fish")

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' response item type value
    response=$(env KEYDECK_LINE="${COMP_LINE:0:COMP_POINT}" KEYDECK_BREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null </dev/null)
    COMPREPLY=()
    for item in $response; do
        type=${item%%%%,*}
        value=${item#*,}
        if [[ $type == dir ]]; then
            compopt -o dirnames
        elif [[ $type == file ]]; then
            compopt -o default
        elif [[ $type == plain ]]; then
            COMPREPLY+=("$value")
        fi
    done
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class LineComplete(BashComplete):
    """Completion in bash, of the whole line up to the cursor."""

    source_template = _BASH

    def source(self) -> str:
        return self.source_template % self.source_vars()

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is being typed, and that."""
        line = os.environ.get("KEYDECK_LINE", "")
        words = split_arg_string(line)[1:]
        if not words or line[-1:].isspace():
            return words, ""
        return words[:-1], words[-1]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return what bash puts in place of its word."""
        value = str(item.value)
        if ":" in os.environ.get("KEYDECK_BREAKS", ""):
            _, typed = self.get_completion_args()
            before, colon, _ = typed.rpartition(":")
            value = value.removeprefix(before + colon)
        return f"{item.type},{value}"


def script(shell: str, command: click.Command) -> str:
    """Return the script by which a shell, one of SHELLS, completes the command."""
    return _completion(shell, command).source()


def answer(command: click.Command) -> None:
    """Print what a shell asked for, and nothing else: no message, no traceback, no question."""
    shell = os.environ[COMPLETING].partition("_")[0]
    click.echo(_completion(shell, command).complete())


def _completion(shell: str, command: click.Command) -> ShellComplete:
    kinds: dict[str, type[ShellComplete]] = dict(
        zip(SHELLS, (LineComplete, ZshComplete, FishComplete), strict=True)
    )
    return kinds[shell](command, {}, "keydeck", COMPLETING)
