"""keydeck help: the parts of the manual that answer a question where it comes up."""

from __future__ import annotations

from collections.abc import Callable

import click


def _checks() -> str:
    from console.manual.checks import checks_text

    return checks_text()


def _filters() -> str:
    from console.manual.filters import filters_text

    return filters_text()


def _questions() -> str:
    from console.manual.questions import questions_text

    return questions_text()


def _schemas() -> str:
    from console.manual.schemas import schemas_text

    return schemas_text()


TOPICS: dict[str, tuple[Callable[[], str], str]] = {
    "checks": (
        _checks,
        "The checks of AWS Config, Security Hub, Prowler and CIS, and what Keydeck has for each.",
    ),
    "filters": (_filters, "The filter language: terms, fields, words."),
    "schema": (
        _schemas,
        "What programs get, as JSON Schemas; keydeck help schema NAME prints one.",
    ),
    "questions": (_questions, "Sixty questions about events, each with the line that answers it."),
}


def _schemas_offered(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[str]:
    from console.manual.schemas import SCHEMAS

    return [name for name in SCHEMAS if name.startswith(typed)]


@click.command("help")
@click.argument("topic", type=click.Choice(list(TOPICS)), required=False)
@click.argument("name", required=False, metavar="[NAME]", shell_complete=_schemas_offered)
@click.pass_context
def help_(ctx: click.Context, *, topic: str | None, name: str | None) -> None:
    """Print a part of the manual; without TOPIC, what there is. NAME is that of a schema."""
    if name is not None:
        if topic != "schema":
            raise click.UsageError(f"{topic} is one text: it has no NAME.")
        from console.manual.schemas import schema_text

        click.echo(schema_text(name), nl=False)
        return
    if topic is not None:
        click.echo(TOPICS[topic][0]())
        return
    click.echo(ctx.find_root().get_help())
    click.echo("\nTopics (keydeck help TOPIC):")
    for name, (_, says) in TOPICS.items():
        click.echo(f"  {name:<12}{says}")
