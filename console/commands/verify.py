"""keydeck verify."""

from __future__ import annotations

import click

from console.commands.output_options import rows_option
from console.commands.session import services_of, trust_option
from console.completion.offers import token_references
from console.host.interrupts import cancelled_by_interrupt
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.printed.output import meter, print_gaps, print_line
from crypto_core.lists.coverage import Coverage
from crypto_core.reencryption.plan import Selection
from crypto_core.values.references import parse_reference


@click.command()
@click.argument("references", nargs=-1, shell_complete=token_references, metavar="[REF]...")
@click.option("--all", "everything", is_flag=True, help="Every token.")
@trust_option
@rows_option
def verify(*, references: tuple[str, ...], everything: bool, trust: tuple[str, ...], form: Form) -> int:
    """Open each token and say only whether it opened.

    Exit 1 if any did not, and with --all if tokens may stand where they can't be counted or read.
    """
    if bool(references) == everything:
        raise click.UsageError("Name references, or --all.")
    selection = Selection(tuple(parse_reference(r) for r in references), everything=everything)
    with (
        services_of(trust=trust) as services,
        cancelled_by_interrupt() as cancelled,
        meter("verify") as shown,
    ):
        results = services.services.work.verify_tokens(selection, progress=shown.update, cancelled=cancelled)
        interrupted, coverage = cancelled.is_set(), Coverage()
        if everything and not interrupted:
            coverage = Coverage(services.services.status.unseen(cancelled))
    failed = [v for v in results if not v.opened]
    opened = f"{len(results) - len(failed):,} of {len(results):,} tokens opened"
    listing = Printout(
        name="results",
        rows=failed if everything and form is Form.TABLE else results,
        headers=("reference", "", "key", "reason"),
        cells=lambda v: (str(v.ref), "opened" if v.opened else "not opened", v.key_arn or "", v.reason),
        rest=lambda: {
            "tokens": len(results),
            "opened": len(results) - len(failed),
            "failed": [v.as_json() for v in failed],
            "interrupted": interrupted,
            "coverage": coverage.as_json(),
        },
    )
    if listing.rows or form is not Form.TABLE:
        print_listing(listing, form)
    if not form.is_document:
        print_line(opened, err=form is not Form.TABLE)
        print_gaps(coverage.reasons)
    if interrupted:
        return 130
    return 1 if failed or not coverage.complete else 0
