"""Asks for the code of an MFA device on the terminal."""

from __future__ import annotations

import sys

import click

from console.printed.output import say
from crypto_core.aws.mfa_codes import CodeQuestion, nobody_to_ask
from crypto_core.values.secret import Secret


def code_from_terminal(question: CodeQuestion) -> Secret | None:
    """Return what was entered, None for Enter alone. Raises CodeNotEnteredError without a terminal.

    Neither the question nor the answer is part of the command's output: they stay on the terminal.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return nobody_to_ask(question)
    if question.trouble:
        say(question.trouble)
    device = f" ({question.device})" if question.device else ""
    words = f"MFA code for profile {question.profile}{device}"
    try:
        entered: str = click.prompt(words, hide_input=True, default="", show_default=False, err=True)
    except click.Abort:
        return None
    return Secret.of(entered) if entered.strip() else None
