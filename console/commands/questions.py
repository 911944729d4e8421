"""What commands ask for: consent before a change, and what is too secret for an argument."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import click

from console.printed.output import print_answer, say
from crypto_core.guard.consent import Consent, Danger, Subject, agrees
from crypto_core.values.errors import NotConfirmedError, RefusedError
from crypto_core.values.secret import Secret

Planned = TypeVar("Planned", bound=Subject)
Result = TypeVar("Result")

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")

_RUNS_CODE = "keydeck.runs-code"


class RunsCodeOption(click.Option):
    """--runs-code NAME, which `consent_to` reads: what --yes can't agree to unnamed."""

    def __init__(self) -> None:
        super().__init__(
            ["--runs-code"],
            multiple=True,
            metavar="NAME",
            expose_value=False,
            callback=self._keep,
            help="With --yes: a function of others that may run in the writes, as the plan names it.",
        )

    @staticmethod
    def _keep(ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> None:
        ctx.meta[_RUNS_CODE] = given


class Declined(click.Abort):
    """The operator declined."""


def consent_to(
    subject: Subject,
    question: str = "Go on?",
    *,
    yes: bool,
    about: str,
    typed: str = "",
    otherwise: str = "; --dry-run only looks",
) -> Consent:
    """Ask as the danger of `subject` demands; return the consent. Raises Abort, UsageError.

    `question` is answered by y. `typed` says what is to be typed where that is demanded, by default the text
    itself. Without a terminal the refusal begins with `about` and ends with what can be done `otherwise`.
    """
    if yes or subject.danger is Danger.NONE:
        context = click.get_current_context(silent=True)
        return Consent.by_option(subject, context.meta.get(_RUNS_CODE, ()) if context else ())
    if subject.danger is not Danger.TYPED:
        confirm(question, about=about, otherwise=otherwise)
        return Consent.pressed(subject)
    what = f"{typed} ({subject.confirmation})" if typed else subject.confirmation
    return Consent.typed(
        subject, type_in(subject.confirmation, f"Type {what} to confirm", about=about, otherwise=otherwise)
    )


def carry_out(
    plan: Planned,
    show: Callable[..., None],
    make: Callable[[Planned, Consent], Result],
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    about: str,
    typed: str = "",
) -> Result | None:
    """Show a plan, ask, and `make` the change; return its result, None for a dry run. Raises as `consent_to`.

    `show` prints the plan, also with `err=True`; see `consent_to` for `about` and `typed`.
    """
    if dry_run:
        print_answer(plan, show, as_json=as_json)
        return None
    show(plan, err=True)
    return make(plan, consent_to(plan, yes=yes, about=about, typed=typed))


def query_consent(
    subject: Subject, statement: str, *, yes: bool, question: str = "Run this query?"
) -> Consent:
    """Ask before what costs money, which is shown. Raises NotConfirmedError, Abort, UsageError."""
    if not yes:
        say(statement)
    try:
        return consent_to(subject, question, yes=yes, about="A query costs money.", otherwise="")
    except Declined as declined:
        raise NotConfirmedError("Nothing was run.") from declined


def confirm(question: str, *, about: str, otherwise: str = "") -> None:
    """Ask for a y. Raises Declined for another answer, Abort, UsageError."""
    _need_terminal(about, otherwise)
    if not click.confirm(question, default=False, err=True):
        raise Declined


def type_in(text: str, prompt: str, *, about: str, otherwise: str = "") -> str:
    """Ask for `text` to be typed; return what was. Raises Abort, UsageError."""
    _need_terminal(about, otherwise)
    typed: str = click.prompt(prompt, default="", show_default=False, err=True)
    if not agrees(typed, text):
        raise click.Abort
    return typed


def _need_terminal(about: str, otherwise: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{about} Without a terminal it needs --yes{otherwise}.")


def read_stdin(most: int) -> Secret:
    """Return the whole standard input. Raises RefusedError for more than so many bytes."""
    secret = Secret.adopt(bytearray(sys.stdin.buffer.read(most + 1)))
    if len(secret) > most:
        secret.wipe()
        raise RefusedError(f"The standard input has more than {most:,} bytes.")
    return secret
