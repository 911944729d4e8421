"""keydeck scan: what dumps, backups and logs hold, and which keys they need."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from console.commands.mfa_prompt import code_from_terminal
from console.commands.output_options import rows_option
from console.commands.session import loaded, services_of
from console.forensics.scan_words import print_scan, scan_rows
from console.forensics.services import ForensicsServices, attribution_over
from console.host.interrupts import cancelled_by_interrupt
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.printed.output import bar, print_gaps, print_json, seldom
from crypto_core.aws.kms import KmsApi
from crypto_core.forensics.copies.attribution import CopyAttribution
from crypto_core.forensics.copies.report import ScanReport
from crypto_core.forensics.copies.scan import STDIN, scan_copies
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.keys.inventory import KeyInventory
from crypto_core.values.clean_text import clean

_SAID_SECONDS = 5.0
"""How often progress is printed where there is no terminal."""
_STOPPING = "Stopping; a scan that is not whole is not printed. Press again to stop at once."


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...|-")
@click.option("--offline", is_flag=True, help="Don't ask KMS: keys are named as far as they are known.")
@rows_option
def scan(*, paths: tuple[str, ...], offline: bool, form: Form) -> int:
    """Say what dumps, backups and logs hold: envelopes by key, tokens in plaintext, what a thief can open.

    Each PATH is one copy: a file, or a folder with all below it. - reads standard input. pg_dump's formats,
    data files and write-ahead log of PostgreSQL, CSV, SQL and logs are read, also within gzip, zstd, bzip2,
    xz, tar and zip, one in the other. KMS is asked about one envelope of each key material that it was not
    asked about before. No value is printed.

    Exit code 1 if a token stands in plaintext or in dev format, or something could not be read.
    """
    for path in paths:
        if path != STDIN and not os.path.lexists(path):
            raise click.UsageError(f"There is no {clean(path, 300)}.")
    with cancelled_by_interrupt(_STOPPING) as cancelled, _attribution(offline=offline) as attribution:
        with _progress() as shown:
            scans = scan_copies(paths, shown, cancelled)
        report = attribution.report(scans, datetime.now(UTC), cancelled)
    _print(report, form)
    return 0 if report.well else 1


def _print(report: ScanReport, form: Form) -> None:
    if form.is_document:
        print_json(report.as_json())
    elif form is Form.TABLE:
        print_scan(report)
    else:
        print_listing(Printout(name="groups", rows=scan_rows(report), record=lambda row: row), form)
        print_gaps(dict.fromkeys(reason for copy in report.copies for reason in copy.coverage.reasons))


@contextmanager
def _attribution(*, offline: bool) -> Iterator[CopyAttribution]:
    """Without a database nothing is remembered, and no decoy is known."""
    settings = loaded().settings
    if settings.database_url:
        with services_of() as services:
            yield services.of(ForensicsServices).copy_attribution(offline=offline)
    elif offline:
        yield attribution_over()
    else:
        kms = KmsApi(settings.regions, profile=settings.profile, read_only=True, ask_code=code_from_terminal)
        keyring = KmsKeyring(kms, write_key=settings.write_key, trusted=settings.trusted_keys)
        yield attribution_over(None, keyring, KeyInventory(kms))


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    if not sys.stderr.isatty():
        yield seldom(
            _SAID_SECONDS, lambda done, of: f"scan: {done >> 20:,}{f' of {of >> 20:,}' if of else ''} MiB"
        )
        return
    with bar("scan") as draw:
        yield lambda done, of: draw(done >> 20, max(of, done) >> 20, "MiB")
