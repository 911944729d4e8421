"""keydeck verify."""

from __future__ import annotations

import click

from console.commands.output_options import json_option
from console.commands.session import services_of, trust_option
from console.completion.offers import token_references
from console.host.interrupts import cancelled_by_interrupt
from console.printed.printing import meter, print_json, print_table
from crypto_core.reencryption.plan import Selection
from crypto_core.references import parse_reference


@click.command()
@click.argument("references", nargs=-1, shell_complete=token_references, metavar="[REF]...")
@click.option("--all", "everything", is_flag=True, help="Every token.")
@trust_option
@json_option
def verify(
    *,
    references: tuple[str, ...],
    everything: bool,
    trust: tuple[str, ...],
    as_json: bool,
) -> int:
    """Open each token and say only whether it opened. Exit 1 if any did not."""
    if bool(references) == everything:
        raise click.UsageError("Name references, or --all.")
    selection = Selection(tuple(parse_reference(r) for r in references), everything=everything)
    with (
        services_of(trust=trust) as services,
        cancelled_by_interrupt() as cancelled,
        meter("verify") as shown,
    ):
        results = services.services.work.verify_tokens(selection, progress=shown.update, cancelled=cancelled)
        interrupted = cancelled.is_set()
    failed = [v for v in results if not v.opened]
    if as_json:
        print_json(
            {
                "tokens": len(results),
                "opened": len(results) - len(failed),
                "failed": [v.as_json() for v in failed],
                "results": [v.as_json() for v in results],
                "interrupted": interrupted,
            }
        )
    else:
        listed = failed if everything else results
        if listed:
            rows = [
                (str(v.ref), "opened" if v.opened else "not opened", v.key_arn or "", v.reason)
                for v in listed
            ]
            print_table(("reference", "", "key", "reason"), rows)
        click.echo(f"{len(results) - len(failed):,} of {len(results):,} tokens opened")
    if interrupted:
        return 130
    return 1 if failed else 0
