"""keydeck notify: send notifications, test receivers, list what was sent and what was not."""

from __future__ import annotations

from typing import Any

import click

from console.commands.output_options import rows_option
from console.commands.session import limit_option, services_of
from console.container import Container
from console.extras import require_extra
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.printed.output import say, utc
from console.service.notices import notice_service
from console.service.settings import ServiceSettings
from crypto_core.notices.notice import outward
from crypto_core.notices.notice_table import GIVEN_UP, STATES, WAITING, NoticeRow
from crypto_core.notices.service import NoticeRound
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import SettingsError


@click.group()
def notify() -> None:
    """Notifications of incidents, approvals and failed checks; findings are told by keydeck watch.

    [notify] in the settings file names the receivers. Each notice has an id: it may come twice after a crash.
    """


@notify.command()
@rows_option
def test(*, form: Form) -> int:
    """Send each receiver a test at once. Exit code 3 unless all took it."""
    with services_of() as services:
        _require_receivers(services)
        told = notice_service(services).test()
    listing = Printout(
        name="receivers",
        rows=tuple(told.items()),
        record=lambda one: {"receiver": one[0], "answered": not one[1], "trouble": one[1] or None},
        headers=("receiver", "answered", ""),
        cells=lambda one: (one[0], "no" if one[1] else "yes", one[1]),
    )
    print_listing(listing, form)
    return 3 if any(told.values()) else 0


@notify.command()
def send() -> int:
    """Send what came since the last time; the first time, nothing older. Exit code 3 if a receiver fails.

    It needs Keydeck's own schema, where it remembers how far it got. Of several hosts one sends at a time.
    """
    with services_of() as services:
        _require_receivers(services)
        done = notice_service(services).tell()
    for line in delivery_lines(done):
        say(line)
    return 3 if done.troubles else 0


@notify.command("list")
@click.option("--all", "all_", is_flag=True, help="Also those that were sent.")
@limit_option(200, "How many are printed at most.")
@rows_option
def list_(*, all_: bool, limit: int, form: Form) -> int:
    """List the notices that wait or were given up, the newest first. Exit code 1 if any was given up."""
    with services_of() as services:
        states = STATES if all_ else (WAITING, GIVEN_UP)
        found = notice_service(services).listed(states, limit)
    listing = Printout(
        name="notices",
        rows=found,
        record=_document,
        headers=("id", "receiver", "state", "severity", "since (UTC)", "title", "trouble"),
        cells=lambda one: tuple(str(cell or "") for cell in _cells(one)),
    )
    print_listing(listing, form)
    return 1 if any(one.state == GIVEN_UP for one in found) else 0


def delivery_lines(done: NoticeRound) -> list[str]:
    if done.holder is not None:
        return [f"Another process sends notifications now: {done.holder}."]
    lines = [f"{counted(done.made, 'new notice')}, {done.sent:,} sent."]
    if done.first:
        lines.append("From now on: what the journal had before is not sent.")
    if done.held:
        lines.append(f"{done.held:,} held back until quiet hours end.")
    return lines + [
        f"{receiver}: {trouble} Tried again later." for receiver, trouble in done.troubles.items()
    ]


def _require_receivers(services: Container) -> None:
    if not ServiceSettings.of(services.settings).notify.receivers:
        raise SettingsError(
            "There is no receiver of notifications.",
            remedy="Name one in the settings file under [notify.receivers], or in KEYDECK_NOTIFY.",
        )
    require_extra("notify", "Notifications")


def _cells(one: NoticeRow) -> tuple[Any, ...]:
    title = outward(one.told.get("title"), 200) if isinstance(one.told, dict) else ""
    words = (clean(text, 40) for text in (one.digest, one.receiver, one.state, one.severity))
    return (*words, utc(one.made_at), title, clean(one.trouble, 300))


def _document(one: NoticeRow) -> dict[str, Any]:
    id_, receiver, state, severity, _, title, trouble = _cells(one)
    return {
        "id": id_,
        "receiver": receiver,
        "kind": clean(one.kind, 40),
        "severity": severity,
        "title": title,
        "state": state,
        "attempts": one.attempts,
        "made_at": one.made_at.isoformat(),
        "next_at": one.next_at.isoformat() if one.state == WAITING else None,
        "ended_at": one.ended_at.isoformat() if one.ended_at else None,
        "trouble": trouble or None,
    }
