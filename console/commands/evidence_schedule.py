"""keydeck evidence schedule: what makes a record every day, for cron, systemd or Kubernetes."""

from __future__ import annotations

import secrets

import click

from console.printed.printing import say
from console.schedule.evidence_schedule import cron_line, kubernetes_cronjob, systemd_units
from crypto_core.guard.operations import BY_NAME

_FORMS = {"cron": cron_line, "systemd": systemd_units, "kubernetes": kubernetes_cronjob}


@click.command()
@click.option("--cron", "form", flag_value="cron", default="cron", help="A crontab's line; the default.")
@click.option("--systemd", "form", flag_value="systemd", help="A service and its timer.")
@click.option("--kubernetes", "form", flag_value="kubernetes", help="The manifest of a CronJob.")
@click.option(
    "--minute",
    type=click.IntRange(0, 59),
    default=None,
    help="The minute after 02:00 UTC; a random one unless you name it, so that not all begin at once.",
)
def schedule(*, form: str, minute: int | None) -> None:
    """Print what fetches events and makes a record every day. Changes nothing; no secret is printed.

    keydeck watch records every day, too: one of them is enough.
    """
    click.echo(_FORMS[form](secrets.randbelow(60) if minute is None else minute), nl=False)
    role = BY_NAME["evidence record"].role
    say(f"Its database role and AWS role need what this prints: keydeck grants {role}.")
