"""keydeck evidence pack and cbom: a period as a folder for an auditor, and the cryptography as it is now."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from console.commands.output_options import json_flag
from console.commands.session import services_of
from console.evidence.services import EvidenceServices
from console.evidence.status import complete_frameworks
from console.extras import require_extra
from console.host.interrupts import cancelled_by_interrupt
from console.printed.output import print_answer, print_line, say
from crypto_core.compliance.pack.writer import PackMade
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.values.counts import counted, listed


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A new file, readable by its owner alone [standard output].",
)
def cbom(*, output: Path | None) -> int:
    """Print a cryptography bill of materials (CycloneDX 1.6, JSON) of what is measured now.

    Algorithms, keys and materials with their states, certificates and connections, and the token columns that
    depend on them, each with its standing against quantum computers. No key, token or other value is in it.
    Exit code 3 if something could not be read: it is missing from the bill, which says so.
    """
    require_extra("cbom", "keydeck evidence cbom")
    from crypto_core.lists.new_files import write_new

    with services_of() as services, cancelled_by_interrupt() as cancelled:
        made = services.of(EvidenceServices).bills.make(cancelled)
    if output is None:
        click.echo(made.document, nl=False)
    else:
        write_new({output: made.document})
        say(f"Written: {output}")
    for why in made.lacking:
        say(f"Not in it: {why}")
    return 3 if made.failed else 0


_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--from", "since", type=_DAY, required=True, help="The first day (UTC).")
@click.option("--to", "until", type=_DAY, required=True, help="The last day (UTC).")
@click.option(
    "--framework",
    default="",
    metavar="NAME",
    shell_complete=complete_frameworks,
    help="Only one of them: soc2, pci, iso, asvs, owasp, nist, or one of the team's own [all].",
)
@click.option(
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    required=True,
    help="A new folder, for its owner alone.",
)
@click.option("--seed", default="", metavar="TEXT", help="Draw the sample of changes by this.")
@click.option(
    "--sample",
    type=click.IntRange(1, 1000),
    default=40,
    show_default=True,
    help="How many changes are drawn.",
)
@json_flag
def pack(
    *, since: datetime, until: datetime, framework: str, folder: Path, seed: str, sample: int, as_json: bool
) -> int:
    """Write what a period came to into a new folder, signed: documents, tables, records and the journal.

    The folder appears whole or not at all. Without a seed of yours it is the digest of the period's last
    record. Exit code 3 if it could not be signed though a signing key is set.
    """
    with services_of() as services, cancelled_by_interrupt() as cancelled:
        period = services.of(EvidenceServices).periods.of(
            since.date(), until.date(), framework, seed=seed, sample=sample, cancelled=cancelled
        )
        signs = services.settings.signing_key
        made = services.of(EvidenceServices).packs.write(period, folder)
    print_answer(made, lambda one: _print(one, period), as_json=as_json)
    return 3 if signs and made.signature is None else 0


def _print(made: PackMade, period: AuditPeriod) -> None:
    print_line(f"Written: {made.path}, {counted(made.files, 'file')}, {made.bytes:,} bytes.")
    print_line(
        f"{counted(len(period.lapses), 'lapse')}, {counted(len(period.gaps), 'day')} without a record, "
        f"{counted(len(period.changes), 'change')}."
    )
    print_line(f"sha256     {made.sha256}")
    if made.signature is not None:
        print_line(f"signed by  {made.signature.key_arn} ({made.signature.algorithm})")
    else:
        say(f"Not signed: {made.unsigned_because}")
    for one in made.left_out:
        say(one)
    if made.unjournaled:
        say(f"Not journaled: {made.unjournaled}")
    if period.problems:
        say(f"Something is wrong with records: {listed(period.problems, 5)}")
