"""What the terminal behind stdout can: its width, colours. Where there is none, neither.

NO_COLOR: no-color.org. Colours here are names of the screens' styles; they only mean severity, and a word or
sign always stands beside them.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import IO

import click

_COLOURS = {"$error": "red", "$warning": "yellow", "$success": "green"}
"""Styles of the screens that say how bad something is, as colours of any terminal."""


def is_terminal(stream: IO[str] | None = None) -> bool:
    """True if `stream`, stdout by default, is a terminal that can more than print letters."""
    stream = stream or sys.stdout
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def has_colour() -> bool:
    """True if stdout is a terminal that can show colours, and nobody wants none."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def styled(text: str, style: str) -> str:
    """Return a text in one of the screens' styles, where it means severity and stdout has colours."""
    colour = _COLOURS.get(style.rsplit(" ", maxsplit=1)[-1])
    return click.style(text, fg=colour) if colour and has_colour() else text


def heading(text: str) -> str:
    return click.style(text, bold=True) if has_colour() else text


def width_of_terminal() -> int | None:
    """Return how many characters fit on a line; None where lines may be as long as they are."""
    return shutil.get_terminal_size().columns if is_terminal() else None
