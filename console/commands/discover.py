"""keydeck discover."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from console.commands.output_options import json_option
from console.commands.session import services_of
from console.printed.output import print_gaps, print_json, print_line, print_table, utc
from crypto_core.database.tokens.sweep.candidates import NAMED
from crypto_core.database.tokens.sweep.proposals import TableProposal, propose
from crypto_core.database.tokens.sweep.results import Sweep
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted


@click.command()
@click.option("--full", is_flag=True, help="Look at every row instead of samples, however long that takes.")
@json_option
def discover(*, full: bool, as_json: bool) -> int:
    """Look through the whole database for tokens that no inventory knows, and propose settings for them.

    No value leaves the database. Exit code 1 if tokens are in columns that are not declared, or if columns
    can't be read.
    """
    with services_of() as services:
        sweep = services.sweeps.take_sweep(full=full)
        catalogue = services.catalogue
        gaps = catalogue.refresh().gaps
        proposals = propose(sweep, catalogue.declared)
    unseen = tuple(dict.fromkeys((*gaps, *(clean(reason, 1_000) for reason in sweep.unseen))))
    if as_json:
        print_json(_document(sweep, proposals, unseen))
    else:
        _print(sweep, proposals)
        print_gaps(unseen)
    return 1 if sweep.found or unseen else 0


def _print(sweep: Sweep, proposals: Sequence[TableProposal]) -> None:
    looked = "every row" if sweep.full else "samples"
    click.echo(
        f"Looked at {looked} of {counted(sweep.columns, 'column')} in {counted(sweep.tables, 'table')} "
        f"besides the declared columns, {utc(sweep.taken_at)} UTC, {sweep.seconds:.1f} s."
    )
    if not sweep.found:
        click.echo("No tokens were found in them.")
    else:
        rows = [
            (t.place_of(c), c.type, c.words, f"{c.begins:,}", f"{c.documents:,}") for t, c in sweep.places()
        ]
        click.echo()
        print_table(("column", "type", "found", "tokens as such", "in documents"), rows)
    for proposal in proposals:
        click.echo()
        if proposal.entry is None:
            print_line(f"# No entry for {proposal.table.place}:")
        elif is_printable(proposal.entry):
            click.echo(table_entry(proposal.entry))
        else:
            print_line(f"# Only with --json, a name is not printable: {proposal.table.place}")
        for reason in proposal.left_out:
            print_line(f"# {reason}")
    if len(sweep.unread) > NAMED:
        click.echo(f"\nNot read or not whole: {counted(len(sweep.unread), 'table')}")
        for place in sweep.unread:
            print_line(f"  {place}")
    for note in sweep.notes:
        print_line(f"# {note}")


def _document(sweep: Sweep, proposals: Sequence[TableProposal], unseen: Sequence[str]) -> dict[str, Any]:
    return {
        "taken_at": sweep.taken_at.isoformat(),
        "seconds": round(sweep.seconds, 3),
        "full": sweep.full,
        "tables": sweep.tables,
        "columns": sweep.columns,
        "undeclared": [
            {
                "schema": table.schema,
                "table": table.name,
                "column": column.name,
                "type": column.type,
                "kinds": dict(column.kinds),
                "rows": column.rows,
                "tokens_as_such": column.begins,
                "documents": column.documents,
            }
            for table, column in sweep.places()
        ],
        "proposed": [
            {
                "entry": p.entry,
                "toml": table_entry(p.entry) if p.entry else None,
                "left_out": list(p.left_out),
            }
            for p in proposals
        ],
        "unread": list(sweep.unread),
        "notes": [clean(note, 1_000) for note in sweep.notes],
        "coverage": {
            "complete": not sweep.found and not unseen,
            "reasons": list(dict.fromkeys((*sweep.reasons, *unseen))),
        },
    }


def table_entry(entry: Mapping[str, Any]) -> str:
    """Return an entry as TOML, ASCII only: what it holds acts on no terminal."""
    return "\n".join(("[[tables]]", *(f"{name} = {_value(value)}" for name, value in entry.items())))


def is_printable(entry: Mapping[str, Any]) -> bool:
    """True if the entry reads as it is, so that a person can check it before it is used."""
    values = (value if isinstance(value, list) else [value] for value in entry.values())
    return all(clean(text) == text for texts in values for text in texts)


def _value(value: str | list[str]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return "".join(_escaped(character) for character in json.dumps(value, ensure_ascii=False))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return character
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
