"""keydeck estates."""

from __future__ import annotations

import click

from console.commands.output_options import rows_option
from console.commands.session import loaded
from console.host.interrupts import cancelled_by_interrupt
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.printed.output import say
from screens.estate_status import EstateStanding, SharedKey


@click.command()
@rows_option
def estates(*, form: Form) -> int:
    """Say how every estate stands: its tokens, its problems, its open incidents. Each is asked on its own.

    Estates are the settings themselves, their databases, and what [estates] names. Exit code 1 if one has a
    problem, or environments share a KMS key; 3 if none has, but one could not be asked.
    """
    from console.estates import estates_of
    from console.estates_overview import look_at, shared_keys

    with cancelled_by_interrupt() as cancelled:
        found = look_at(estates_of(loaded().settings), cancelled)
    shared = shared_keys(found)
    print_listing(_listing(found, shared), form)
    if not form.is_document:
        for one in shared:
            say(one.words)
    if shared or any(not one.well for one in found if not one.trouble):
        return 1
    return 3 if any(one.trouble for one in found) else 0


def _listing(found: tuple[EstateStanding, ...], shared: tuple[SharedKey, ...]) -> Printout[EstateStanding]:
    return Printout(
        name="estates",
        rows=found,
        headers=("estate", "environment", "tokens", "protected", "problems", "incidents", ""),
        cells=_cells,
        rest=lambda: {"shared_keys": [one.as_json() for one in shared]},
    )


def _cells(one: EstateStanding) -> tuple[object, ...]:
    if one.trouble:
        return (one.name, one.environment, "?", "?", "?", "?", one.trouble)
    share = f"{one.share:.1%}" if one.share is not None else "-"
    problems = f"{one.problems}, {one.worst.value}" if one.problems else "none"
    incidents = one.incidents if one.incidents is not None else "-"
    gaps = f"not whole: {one.gaps[0]}" if one.gaps else ""
    return (one.name, one.environment, one.tokens, share, problems, incidents, gaps)
