"""keydeck events pull: fetch events from CloudTrail, its bucket or a query engine."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from console.capabilities import event_engines, not_installed
from console.commands.moments import time_option
from console.commands.output_options import json_option
from console.commands.questions import query_consent
from console.commands.session import services_of
from console.host.interrupts import cancelled_by_interrupt
from console.printed.output import print_gaps, print_json, say
from crypto_core.guard.consent import Danger
from crypto_core.values.counts import counted
from crypto_core.values.errors import SettingsError
from screens.moments import span

if TYPE_CHECKING:
    from crypto_core.trail.sources.bucket.digests import Validation
    from crypto_core.trail.sources.report import PullProgress, PullReport

_STOPPING = "Stopping; what came is stored, and the next pull continues there. Press again to stop at once."
_SAID_EVERY = 20
"""Pages between two lines of progress."""


@click.command()
@click.option(
    "--from",
    "source",
    default="lookup",
    show_default=True,
    metavar="SOURCE",
    help=f"{', '.join(('lookup', 's3', *event_engines()))}, or s3://bucket/prefix.",
)
@time_option("--since", "Since: 2h, 7d, 2026-11-24 [the last pull's end, or 24h].")
@time_option("--until", "Up to when [now].")
@click.option("--filter", "expression", default="", metavar="EXPR", help="Keep only events that pass.")
@click.option("--region", "regions", multiple=True, metavar="REGION", help="Only this Region; repeatable.")
@click.option(
    "--attribute", metavar="NAME=VALUE", help="LookupEvents' own attribute, such as EventName=Decrypt."
)
@click.option(
    "--validate", is_flag=True, help="Check the bucket's files against CloudTrail's signed digests."
)
@click.option(
    "--max-bytes", type=click.IntRange(min=1), metavar="N", help="What a query may scan [100,000,000,000]."
)
@click.option("--yes", is_flag=True, help="Do not ask before a query that costs money.")
@json_option
def pull(
    *,
    source: str,
    since: datetime | None,
    until: datetime | None,
    expression: str,
    regions: tuple[str, ...],
    attribute: str | None,
    validate: bool,
    max_bytes: int | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Fetch CloudTrail's events into the local store, from where the last pull ended.

    Kept are events of KMS and of CloudTrail itself, and changes of the buckets that trails deliver to. New
    receipts of keydeck.receipt are taken in, too, and joined to the calls that they explain. Exit code 1 if
    something of the window is missing, or if --validate found something wrong; 130 if interrupted: the next
    pull goes on from there.
    """
    if sentence := not_installed(source, "--from"):
        raise click.UsageError(sentence)
    if validate and not source.startswith("s3"):
        raise click.UsageError("--validate checks the files of a bucket: use it with --from s3.")
    with services_of() as services, cancelled_by_interrupt(_STOPPING) as cancelled:
        puller = services.trail.puller
        plan = puller.plan_pull(
            source,
            since=since,
            until=until,
            expression=expression,
            regions=regions,
            attribute=_attribute(attribute),
            max_bytes=max_bytes,
            cancelled=cancelled,
        )
        for remark in plan.remarks:
            say(remark)
        costs = plan.danger is not Danger.NONE
        consent = query_consent(plan, plan.statement, yes=yes) if costs else None
        where = f" in {', '.join(plan.regions)}" if plan.regions else ""
        say(
            f"Fetching from {plan.asked.since:%Y-%m-%d %H:%M} to {plan.asked.until:%Y-%m-%d %H:%M} UTC "
            f"by {plan.source}{where}."
        )
        report = puller.run_pull(plan, consent, progress=_Progress(), cancelled=cancelled)
        validation = puller.validate(plan, cancelled=cancelled) if validate else None
    _tell(report, validation, as_json=as_json)
    return 0 if report.coverage.complete and (validation is None or validation.well) else 1


def _tell(report: PullReport, validation: Validation | None, *, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = report.as_json()
        if validation is not None:
            document["validation"] = validation.as_json()
        print_json(document)
    else:
        click.echo(
            f"{counted(report.new, 'new event')}, {report.duplicates:,} there already, "
            f"{report.kms:,} of KMS; {counted(report.records, 'record')} in {counted(report.pages, 'page')}"
            f"{f', throttled {report.throttled:,} times' if report.throttled else ''}."
        )
        if report.receipts is not None and (report.receipts.read or report.receipts.malformed):
            click.echo(f"{report.receipts.summary}.")
        if validation is not None:
            click.echo(validation.summary)
    for note in report.notes:
        say(note)
    for problem in validation.problems if validation is not None else ():
        say(f"Validation: {problem}")
    print_gaps(report.gaps)


def _attribute(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    name, found, value = text.partition("=")
    if not found or not value:
        raise SettingsError("--attribute is NAME=VALUE.", remedy="Such as EventName=Decrypt.")
    return name, value


class _Progress:
    def __init__(self) -> None:
        self._said = 0

    def __call__(self, progress: PullProgress) -> None:
        reached = f", at {progress.reached:%Y-%m-%d %H:%M}" if progress.reached else ""
        left = (
            f", about {span(timedelta(seconds=progress.seconds_left))} left" if progress.seconds_left else ""
        )
        throttled = f", throttled {progress.throttled:,}" if progress.throttled else ""
        if progress.pages >= self._said + _SAID_EVERY or (progress.pages and not self._said):
            self._said = progress.pages
            say(
                f"{progress.where}: {counted(progress.pages, 'page')}, "
                f"{counted(progress.records, 'record')}, {progress.new:,} new{reached}{throttled}{left}"
            )
