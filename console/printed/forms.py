"""The form of an answer, as --output chooses it: for a person, or for a program."""

from __future__ import annotations

from enum import StrEnum

import click

_META = "keydeck.form"


class Form(StrEnum):
    """How an answer is printed: `table` is text for a person."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    YAML = "yaml"

    @property
    def is_document(self) -> bool:
        """True where the answer is one document, in which all is that there is to say."""
        return self in (Form.JSON, Form.YAML)


ROWS = tuple(Form)
DOCUMENT = (Form.TABLE, Form.JSON, Form.YAML)
STREAM = (Form.TABLE, Form.JSONL)
"""The forms of what comes little by little."""


def form_of(ctx: click.Context) -> Form:
    """Return the form that a command was asked for; `table` where it was asked for none."""
    form: Form = ctx.meta.get(_META, Form.TABLE)
    return form


def choose_form(ctx: click.Context, form: Form) -> None:
    before = ctx.meta.setdefault(_META, form)
    if before is not form:
        raise click.UsageError(f"Choose --{before} or --{form}; both are forms of --output.", ctx)


def chosen_form() -> Form:
    """Return the form that the running command was asked for; `table` where none is running."""
    ctx = click.get_current_context(silent=True)
    return Form.TABLE if ctx is None else form_of(ctx)
