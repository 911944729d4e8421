"""--output and its short spellings: in which form a command prints its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from console.commands.session import Command, together
from console.printed.forms import DOCUMENT, ROWS, STREAM, Form, choose_form, form_of
from console.printed.pager import no_pager_option
from crypto_core.values.clean_text import clean
from crypto_core.values.typed_names import meant


def _output(forms: Sequence[Form], *, expose: bool) -> Callable[[Command], Command]:
    """Return --output. Where the command gets it, as `form`, it has what any spelling chose."""

    def choose(ctx: click.Context, _param: click.Parameter, value: str | None) -> Form:
        if value is not None:
            choose_form(ctx, _named(value, forms, ctx))
        return form_of(ctx)

    def offered(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[str]:
        return [form.value for form in forms if form.value.startswith(typed)]

    return click.option(
        "--output",
        "form",
        callback=choose,
        expose_value=expose,
        shell_complete=offered,
        metavar=f"[{'|'.join(forms)}]",
        help="How to print the answer [table].",
    )


def _short(form: Form, does: str, *, name: str = "", expose: bool = False) -> Callable[[Command], Command]:
    """Return a flag that chooses a form. What the command gets of it is whether any form but `table` is."""

    def choose(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
        if value:
            choose_form(ctx, form)
        return form_of(ctx) is not Form.TABLE

    flag = name or form.value
    return click.option(
        f"--{flag}", f"as_{flag}", is_flag=True, expose_value=expose, callback=choose, help=does
    )


def _named(value: str, forms: Sequence[Form], ctx: click.Context) -> Form:
    """The form of a name. Raises BadParameter."""
    name, known = value.lower(), ", ".join(forms)
    for form in forms:
        if form.value == name:
            return form
    if name in {form.value for form in Form}:
        what = "uses as they come" if forms is STREAM else "one document, not rows"
        raise click.BadParameter(f"{ctx.command_path} prints {what}: no {name}. Forms: {known}.", ctx)
    told = f"There is no form {clean(value, 60)!r}. {meant(name, forms)}Forms: {known}."
    raise click.BadParameter(told, ctx)


_PRINT_JSON = "Print one JSON document: --output json."

rows_option = together(
    _output(ROWS, expose=True),
    _short(Form.JSON, _PRINT_JSON),
    _short(Form.CSV, "Print CSV: --output csv."),
    no_pager_option,
)
"""For what prints a list of rows: the command gets the `form`."""
json_option = together(_output(DOCUMENT, expose=False), _short(Form.JSON, _PRINT_JSON, expose=True))
"""For what prints a document: the command gets `as_json`, whether it is one for a program (JSON or YAML)."""
json_flag = _short(Form.JSON, "Print one JSON document.", expose=True)
"""For what prints a document beside the folder that it writes, which --output names."""
json_lines_option = together(
    _output(STREAM, expose=False),
    _short(Form.JSONL, "Print JSON lines: --output jsonl.", name="json", expose=True),
)
"""For what prints as it comes: the command gets `as_json`."""
