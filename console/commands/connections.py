"""keydeck connections, keydeck inspect."""

from __future__ import annotations

from itertools import chain

import click

from console.commands.estate_options import estate_option
from console.commands.output_options import json_option, rows_option
from console.commands.session import services_of, trust_option
from console.completion.offers import token_references
from console.printed.forms import Form
from console.printed.lists import PRINTED, Printout, print_listing, printed
from console.printed.output import print_facts, print_gaps, print_json
from crypto_core.database.tokens.inspection import Inspection
from crypto_core.database.tokens.inventory import SortKey
from crypto_core.database.tokens.inventory_row import TOKEN
from crypto_core.lists.coverage import Coverage
from crypto_core.lists.paging import Query, pages_of
from crypto_core.values.counts import listed
from crypto_core.values.errors import RowVanishedError
from crypto_core.values.references import TokenRef, parse_reference

_NAMED = 10
_COLUMNS = "severity=state reference org provider format key material evidence created"


@click.command()
@estate_option
@click.option(
    "--filter",
    "filter_",
    default="",
    metavar="EXPR",
    help="e.g. 'provider:slack (format:plaintext OR severity:high)': keydeck help filters.",
)
@click.option("--sort", type=click.Choice([k.value for k in SortKey]), default="state", show_default=True)
@click.option("--reverse", is_flag=True, help="Reverse the order.")
@click.option(
    "--limit", type=click.IntRange(min=1), help="Print at most this many rows; the total is printed too."
)
@rows_option
def connections(*, filter_: str, sort: str, reverse: bool, limit: int | None, form: Form) -> None:
    """List tokens: how each is stored and under which key. Values are never shown."""
    query = Query(filter_, sort, reverse)
    with services_of() as services:
        total = services.services.inventory.count(query)
        rows = chain.from_iterable(pages_of(services.services.inventory, query, size=1000, limit=limit or 0))
        cut = (f"--limit: {limit:,} of {total:,} rows",) if limit is not None and limit < total else ()

        def gaps() -> tuple[str, ...]:
            return (*services.services.status.unseen(), *cut)

        listing = Printout(
            name="connections",
            schema="token",
            rows=rows,
            **printed(TOKEN, _COLUMNS),
            spare=("created", "evidence", "material"),
            rest=lambda: {"total": total, "coverage": Coverage(gaps()).as_json()},
        )
        print_listing(listing, form)
        if not form.is_document:
            print_gaps(gaps())


@click.command()
@click.argument("reference", shell_complete=token_references)
@trust_option
@json_option
def inspect(*, reference: str, trust: tuple[str, ...], as_json: bool) -> int:
    """Show how one token is stored, field by field, never the plaintext.

    REFERENCE is table.column:row-id, or table:row-id for every token of a row.
    """
    parsed = parse_reference(reference)
    with services_of(trust=trust) as services:
        refs = services.catalogue().references(parsed)
        found = []
        for ref in refs:
            try:
                found.append(services.services.inspector.inspect_token(ref))
            except RowVanishedError:
                if isinstance(parsed, TokenRef):
                    raise
        if not found:
            raise RowVanishedError(f"{parsed}: {services.catalogue().why_nothing(parsed)}")
    if as_json:
        documents = [i.as_json() for i in found]
        print_json(documents[0] if isinstance(parsed, TokenRef) else {"tokens": documents})
    else:
        for number, inspection in enumerate(found):
            if number:
                click.echo()
            _print_inspection(inspection)
    return 1 if any(i.broken for i in found) else 0


def _print_inspection(inspection: Inspection) -> None:
    row = inspection.row
    facts = [
        ("token", str(row.ref)),
        ("provider", row.provider),
        ("organisation", row.organisation),
        ("stored", f"{row.format.value}, {row.characters:,} characters"),
        *inspection.fields,
    ]
    if inspection.broken:
        facts.append(("broken", inspection.broken))
    if inspection.wrapped_by is not None:
        material = inspection.wrapped_by.key_material_id or "not told"
        facts += [("KMS key", inspection.wrapped_by.key_arn), ("key material", material)]
        facts.append(("evidence", inspection.evidence.value))
    elif row.format.protected:
        facts.append(("KMS key", inspection.key_unknown or "not known"))
    if inspection.shared_with:
        others = listed(list(map(str, inspection.shared_with)), _NAMED)
        facts.append(("shared", f"the same token is in {others}, by the index"))
    facts += [*row.shown, *TOKEN.facts(row, PRINTED)]
    print_facts(facts)
