"""The daily record for cron, systemd and Kubernetes. Plain files of the package, without any secret."""

from __future__ import annotations

import shlex
from importlib import metadata, resources

from console.watch.deployment import this_command

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
    """Return the service and the timer that starts it, one after the other."""
    written = {
        name: shlex.join([this_command(), *step]).replace("%", "%%")
        for name, step in (("pull", PULL), ("record", RECORD))
    }
    service = _text(SERVICE)
    for name, command in written.items():
        service = service.replace(f"{{{name}}}", command)
    return f"{service}\n# {TIMER}\n{_text(TIMER).format(minute=minute)}"


def kubernetes_cronjob(minute: int) -> str:
    """Return the manifest of a CronJob."""
    return _text(MANIFEST).format(version=metadata.version("keydeck"), minute=minute)


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
