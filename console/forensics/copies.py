"""keydeck copies: the register of dumps, backups and exports that were scanned."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time
from typing import IO

import click

from console.commands.moments import time_option
from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option, rows_option
from console.commands.session import services_of
from console.forensics.scan_words import print_copy
from console.forensics.services import ForensicsServices
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.printed.output import print_answer, print_facts, print_json, print_line
from crypto_core.forensics.copies.register import NewCopy, RegisteredCopy
from crypto_core.forensics.copies.report import LARGEST, CopyReport, ScanReport, read_scan
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import RefusedError
from crypto_core.values.moments import in_utc


@click.group()
def copies() -> None:
    """The copies that were scanned and are still there: which keys each of them needs."""


def _last_of_day(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        day = date.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(f"{clean(value, 60)!r} is no date. Write it as 2027-05-31.") from error
    return datetime.combine(day, time(23, 59, 59), UTC)


@copies.command(
    cls=OperationCommand,
    operation="copies add",
    params=[
        click.Argument(["name"]),
        click.Option(
            ["--scanned"],
            type=click.File("rb"),
            required=True,
            metavar="FILE",
            help="What keydeck scan --json has written of it; - is standard input.",
        ),
        click.Option(["--path"], default="", metavar="PATH", help="Which copy of it, where it has several."),
        click.Option(
            ["--location"], default="", metavar="TEXT", help="Where it is, such as a bucket or a vault."
        ),
        click.Option(
            ["--kept-until"],
            callback=_last_of_day,
            metavar="DATE",
            help="The day after which it is deleted; without one it is kept without an end.",
        ),
    ],
)
@time_option("--taken", "When it was taken.")
@json_option
def add(
    *,
    name: str,
    scanned: IO[bytes],
    path: str,
    location: str,
    taken: datetime | None,
    kept_until: datetime | None,
    as_json: bool,
) -> int:
    """Register a copy under NAME: whoever is about to take a key away from it is then told.

    The file is checked strictly. It holds no value, only counts and key ARNs.
    """
    report = read_scan(scanned.read(LARGEST + 1))
    holds = _chosen(report, path)
    with services_of() as services:
        register = services.of(ForensicsServices).copy_register
        register.add(NewCopy(name, holds, report.scanned_at, location, taken, kept_until))
        copy = register.show(name)
    print_answer(copy, lambda one: print_line(f"Registered: {_summary(one)}"), as_json=as_json)
    return 0


@copies.command(name="list")
@rows_option
def list_(*, form: Form) -> int:
    """List the registered copies and the keys that each needs, as these stand now."""
    with services_of() as services:
        register = services.of(ForensicsServices).copy_register
        found = register.as_it_stands(register.copies())
    listing = Printout(
        name="copies",
        rows=found,
        record=_record,
        headers=("copy", "taken", "kept until", "envelopes", "open to anybody", "needs", "location", "by"),
        cells=lambda copy: (
            copy.name,
            _day(copy.taken_at),
            _day(copy.kept_until),
            copy.holds.envelopes,
            copy.holds.open_to_anybody,
            keys_needed(copy.holds),
            copy.location,
            copy.added_by,
        ),
        spare=("by", "location"),
    )
    if not found and form is Form.TABLE:
        click.echo("No copies are registered. Scan one with keydeck scan, then: keydeck copies add.")
        return 0
    print_listing(listing, form)
    return 0


@copies.command()
@click.argument("name")
@json_option
def show(*, name: str, as_json: bool) -> int:
    """Show what a registered copy holds and needs, by the states of its keys now."""
    with services_of() as services:
        copy = services.of(ForensicsServices).copy_register.show(name)
    print_answer(copy, _print, as_json=as_json)
    return 0


@copies.command(cls=OperationCommand, operation="copies remove", params=[click.Argument(["name"])])
@json_option
def remove(*, name: str, as_json: bool) -> int:
    """Take a copy out of the register, once it is deleted."""
    with services_of() as services:
        services.of(ForensicsServices).copy_register.remove(name)
    if as_json:
        print_json({"removed": name})
    else:
        print_line(f"Taken out of the register: {name}. That it is deleted is your word, not Keydeck's.")
    return 0


def keys_needed(holds: CopyReport) -> str:
    states = {need.key_name: need.key_state for need in reversed(holds.needs)}
    numbers: Counter[str] = Counter()
    for need in holds.needs:
        numbers[need.key_name] += need.envelopes
    return ", ".join(
        f"{name} ({n:,}{f', {states[name]}' if states[name] else ''})" for name, n in numbers.items()
    )


def _chosen(report: ScanReport, path: str) -> CopyReport:
    fitting = [copy for copy in report.copies if not path or copy.path == clean(path, 1_000)]
    if len(fitting) != 1:
        paths = ", ".join(copy.path for copy in report.copies[:10]) or "it has none"
        raise RefusedError(
            f"The scan has {len(fitting):,} copies to choose from, not one.",
            remedy=f"Choose with --path: {paths}.",
        )
    return fitting[0]


def _record(copy: RegisteredCopy) -> dict[str, object]:
    document = copy.as_json()
    holds = document.pop("holds")
    return {**document, **{name: holds[name] for name in ("envelopes", "damaged", "keys", "exposed")}}


def _print(copy: RegisteredCopy) -> None:
    print_facts(
        (
            ("copy", copy.name),
            ("location", copy.location or "not noted"),
            ("taken", in_utc(copy.taken_at, "not noted")),
            ("kept until", in_utc(copy.kept_until, "without an end")),
            ("scanned", in_utc(copy.scanned_at)),
            ("registered", f"{in_utc(copy.added_at)} by {copy.added_by}"),
        )
    )
    click.echo()
    print_copy(copy.holds)


def _summary(copy: RegisteredCopy) -> str:
    needs = keys_needed(copy.holds) or "no key"
    return f"{copy.name}, {copy.holds.envelopes:,} envelopes; it needs {needs}."


def _day(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}" if moment else ""
