"""keydeck evidence schedule: what makes a record every day, for cron, systemd or Kubernetes."""

from __future__ import annotations

import secrets
import shlex
from importlib import metadata, resources

import click

from console.printed.printing import say
from console.watch.deployment import this_command
from crypto_core.guard.operations import BY_NAME

PULL, RECORD = ("events", "pull", "--yes"), ("evidence", "record", "--yes")
SERVICE, TIMER, MANIFEST = "keydeck-evidence.service", "keydeck-evidence.timer", "keydeck-evidence.yaml"


def cron_line(minute: int) -> str:
    """Return a crontab's lines: events are fetched, then the record is made, at a minute after two (UTC)."""
    steps = "; ".join(shlex.join([this_command(), *step]) for step in (PULL, RECORD))
    command = steps.replace("%", r"\%")  # in a crontab a percent sign is a line's end
    return (
        "# evidence.env, which only you can read, has DATABASE_URL, KEYDECK_SIGNING_KEY, AWS's variables.\n"
        "CRON_TZ=UTC\n"
        f'{minute} 2 * * * set -a; . "$HOME/.config/keydeck/evidence.env"; {command}\n'
    )


def systemd_units(minute: int) -> str:
    written = {
        name: shlex.join([this_command(), *step]).replace("%", "%%")
        for name, step in (("pull", PULL), ("record", RECORD))
    }
    service = _text(SERVICE)
    for name, command in written.items():
        service = service.replace(f"{{{name}}}", command)
    return f"{service}\n# {TIMER}\n{_text(TIMER).format(minute=minute)}"


def kubernetes_cronjob(minute: int) -> str:
    return _text(MANIFEST).format(version=metadata.version("keydeck"), minute=minute)


def _text(name: str) -> str:
    return resources.files("console.schedule").joinpath(name).read_text(encoding="utf-8")


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
