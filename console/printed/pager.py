"""The pager for lists that are longer than the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from itertools import chain, islice

import click

from console.printed.terminal import has_colour, is_terminal

_META = "keydeck.pager"


def _refuse(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_META] = False


no_pager_option = click.option(
    "--no-pager",
    is_flag=True,
    expose_value=False,
    callback=_refuse,
    help="Print lists as they are, however long.",
)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines; through a pager where they don't fit on the terminal, unless nobody wants one.

    The pager may be quit at any line: lines that were not read by then are not asked for.
    """
    lines = iter(lines)
    first: list[str] = []
    if _is_wanted():
        height = shutil.get_terminal_size().lines
        first = list(islice(lines, height))
        if len(first) == height:
            click.echo_via_pager(
                (f"{line}\n" for line in chain(first, lines)), color=has_colour() and _shows_colours()
            )
            return
    for line in chain(first, lines):
        click.echo(line)


def _shows_colours() -> bool:
    """True if the pager shows colours. less does with -R, which it is given where LESS says nothing."""
    flags = os.environ.get("LESS") or "-R"
    os.environ["LESS"] = flags
    pager = os.environ.get("PAGER") or "less"
    return "less" not in pager or "r" in (flags + pager.partition("less")[2]).lower()


def _is_wanted() -> bool:
    ctx = click.get_current_context(silent=True)
    refused = ctx is not None and ctx.meta.get(_META) is False
    return not refused and is_terminal() and sys.stdin.isatty()
