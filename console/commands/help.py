"""keydeck help: the manual, page by page and as HTML."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from console.manual.contents import ENTRIES, contents_text
from console.printed.pager import no_pager_option, print_lines
from crypto_core.values.clean_text import clean
from crypto_core.values.typed_names import meant


def _topics_offered(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[str]:
    return [topic for topic in ENTRIES if topic.startswith(typed)]


def _schemas_offered(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[str]:
    from console.manual.schemas import SCHEMAS

    return [name for name in SCHEMAS if name.startswith(typed)]


@click.command("help")
@click.argument("topic", required=False, shell_complete=_topics_offered)
@click.argument("name", required=False, metavar="[NAME]", shell_complete=_schemas_offered)
@click.option(
    "--html",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the whole manual into a folder, as HTML.",
)
@no_pager_option
@click.pass_context
def help_(ctx: click.Context, *, topic: str | None, name: str | None, html: Path | None) -> None:
    """Print a page of the manual; without TOPIC, what there is. NAME is that of a schema."""
    if html is not None:
        if topic is not None:
            raise click.UsageError("--html writes the whole manual: leave TOPIC out.")
        from console.manual.html import write_html
        from console.printed.output import say

        say(f"{len(write_html(html))} pages written. Open {html / 'index.html'}.")
    elif name is not None:
        if topic != "schema":
            raise click.UsageError(f"{topic} is one page: it has no NAME.")
        from console.manual.schemas import schema_text

        click.echo(schema_text(name), nl=False)
    elif topic is not None:
        print_lines(_lines(ctx.find_root(), topic))
    else:
        overview = [*ctx.find_root().get_help().splitlines(), "", "The manual (keydeck help TOPIC):", ""]
        print_lines([*overview, *contents_text().splitlines()])


def _lines(root: click.Context, topic: str) -> Iterable[str]:
    commands = root.command
    if topic not in ENTRIES and isinstance(commands, click.Group):
        names = commands.list_commands(root)
        if topic not in names:
            raise click.UsageError(
                f"The manual has no page {clean(topic, 60)!r}. {meant(topic, [*ENTRIES, *names])}"
                "keydeck help lists the pages."
            )
        if (command := commands.get_command(root, topic)) is not None:
            return click.Context(command, info_name=topic, parent=root).get_help().splitlines()
    from console.manual.book import Book
    from console.printed.manual_page import page_lines

    return page_lines(Book().page(topic))
