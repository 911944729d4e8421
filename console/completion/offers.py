"""What completes names in a shell: keys, runbooks, incidents, jobs, token references.

Settings and files are read, and AWS or the database asked, for a short time: what is known by then is
offered. Nobody is asked for a password or code. Names from elsewhere are offered only if there is nothing in
them that a shell takes for more than letters.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from threading import Thread
from typing import TYPE_CHECKING

import click

from console.completion import WAITING

if TYPE_CHECKING:
    from console.container import Container

_SECONDS = 1.5
"""How long is asked, unless the environment says otherwise: for links and machines that are slow."""
_MOST = 200
"""Names that are offered."""
_PLAIN = re.compile(r"[A-Za-z0-9_./:@=+,#-]+")

Offer = Callable[[click.Context, click.Parameter, str], list[str]]


def _offer(read: Callable[[str], Iterator[str]]) -> Offer:
    """Return what click asks for the names that `read` yields and that begin as typed."""

    def names(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[str]:
        found: list[str] = []

        def collect() -> None:
            with suppress(Exception):
                fitting = (n for n in read(typed) if n.startswith(typed) and _PLAIN.fullmatch(n))
                for name in islice(fitting, _MOST):
                    found.append(name)  # noqa: PERF402  # one by one: what is there when time is up counts

        asking = Thread(target=collect, daemon=True)
        asking.start()
        asking.join(float(os.environ.get(WAITING, _SECONDS)))
        return list(dict.fromkeys(found))

    return names


def _keys(_typed: str) -> Iterator[str]:
    from console.settings import load

    settings = load({}).settings
    named = (settings.write_key, *settings.trusted_keys, settings.write_alias, *settings.retired_keys)
    yield from (key for key in named if key)
    from console.event_services import key_inventory_of

    aliases = key_inventory_of(settings).known_aliases()
    for arn, names in aliases.items():
        yield from names
        yield arn


def _runbooks(_typed: str) -> Iterator[str]:
    from crypto_core.incidents.runbooks.library import RunbookLibrary

    yield from (runbook.id for runbook in RunbookLibrary().read().runbooks)
    from console.settings import load

    team = load({}).settings.runbooks
    yield from (runbook.id for runbook in RunbookLibrary(team).read().runbooks)


def _incidents(_typed: str) -> Iterator[str]:
    for view in _services().services.incidents.incidents():
        yield str(view.incident.id)


def _jobs(_typed: str) -> Iterator[str]:
    for view in _services().tokens.jobs.jobs(_MOST):
        yield str(view.job.id)


def _references(typed: str) -> Iterator[str]:
    from crypto_core.lists.paging import Query

    services = _services()
    if ":" not in typed:
        yield from (f"{t.name}.{column}:" for t in services.catalogue().tables for column in t.token_columns)
        return
    place, _, row_id = typed.partition(":")
    table, _, column = place.rpartition(".")
    begins = f" id:{row_id}*" if row_id else ""
    query = Query(f"table:{table} column:{column}{begins}", "reference")
    for row in services.services.inventory.page(query, limit=_MOST).rows:
        yield str(row.ref)


def _services() -> Container:
    from console.container import Container
    from console.settings import load

    return Container(load({"read_only": True}).settings)


key_names = _offer(_keys)
runbook_ids = _offer(_runbooks)
incident_numbers = _offer(_incidents)
job_numbers = _offer(_jobs)
token_references = _offer(_references)
