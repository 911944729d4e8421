"""keydeck keys list, keydeck keys show, and what else there is of keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import click

from console.commands.key_changes import COMMANDS
from console.commands.key_policy import policy
from console.commands.key_replacement import materials, replace
from console.commands.output_options import json_option, rows_option
from console.commands.session import services_of
from console.completion.offers import key_names
from console.container import Container
from console.printed.forms import Form
from console.printed.key_document import KeyDocument
from console.printed.lists import Printout, print_listing
from console.printed.output import print_facts, print_gaps, print_json
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import Status
from crypto_core.lists.coverage import Coverage
from crypto_core.values.errors import DatabaseError
from screens.keys.words import (
    grant_words,
    key_facts,
    kind_words,
    material_note,
    schedule_words,
    state_words,
    unused,
)
from screens.moments import day, stamp, system_clock


@click.group()
def keys() -> None:
    """KMS keys: state, rotation, material, tokens under each."""


keys.add_command(policy)
keys.add_command(replace)
keys.add_command(materials)
for changing in COMMANDS:
    keys.add_command(changing)


@keys.command("list")
@rows_option
def list_(*, form: Form) -> None:
    """List the keys that guard tokens and all that can be listed."""
    with services_of() as services:
        taken, reason = _status(services)
        states = list(services.services.keys.list())
    coverage = _coverage(states, taken, reason)
    now = system_clock()
    listing = Printout(
        name="keys",
        schema="key",
        rows=states,
        record=lambda s: KeyDocument(s, taken).as_json(),
        headers=("name", "key", "state", "rotation", "tokens", "last used"),
        cells=lambda s: (
            s.name,
            s.key_arn,
            s.state or "not known",
            schedule_words(s, now)[0],
            f"{taken.tokens_under(s.key_arn):,}" if taken else "?",
            s.last_used_at.strftime("%Y-%m-%d %H:%M") if s.last_used_at else unused(s, now),
        ),
        rest=lambda: {"coverage": coverage.as_json()},
    )
    print_listing(listing, form)
    if not form.is_document:
        print_gaps(coverage.reasons)


@keys.command()
@click.argument("key", shell_complete=key_names)
@json_option
def show(*, key: str, as_json: bool) -> None:
    """Show one key. KEY is a key ARN, key id, alias or alias ARN."""
    with services_of() as services:
        state = services.services.keys.show(key)
        taken, reason = _status(services)
        copies = services.key_management.copy_register.needing(state.key_arn)
    coverage = _coverage([state], taken, reason)
    if as_json:
        print_json(KeyDocument(state, taken, copies, coverage).as_json())
        return
    now = system_clock()
    under = f"{taken.tokens_under(state.key_arn):,}" if taken else "not counted"
    facts = [*_facts(state, now), ("tokens", under)]
    facts += _materials(state, taken, now)
    facts += [("copies", words) for words in copies.lines]
    print_facts(facts)
    print_gaps(coverage.reasons)


def _facts(key: KeyState, now: datetime) -> Iterator[tuple[str, str]]:
    yield "key", key.key_arn
    yield "aliases", ", ".join(key.aliases) or "-"
    yield "state", state_words(key, now)[1]
    yield "spec", " · ".join(kind_words(key)) or "-"
    yield from ((name, value) for name, value, _ in key_facts(key, now) if name not in ("aliases", "grants"))
    for grant in key.grants or ():
        since = stamp(grant.created_at, now) if grant.created_at else "?"
        yield "grant", f"{grant.grant_id}  {grant_words(grant)}  since {since}"


def _materials(key: KeyState, taken: Status | None, now: datetime) -> Iterator[tuple[str, str]]:
    shares = taken.shares_under(key.key_arn) if taken else ()
    for number, material in enumerate(key.materials, start=1):
        words = [
            material.key_material_id,
            f"since {day(material.since, now) if material.since else '?'}",
            (material.rotation or "").lower().replace("_", " "),
            material_note(key, material, now),
            f"{sum(s.tokens for s in shares if s.key_material_id == material.key_material_id):,} tokens"
            if taken
            else "",
        ]
        yield f"material {number}", "  ".join(word for word in words if word)


def _coverage(states: list[KeyState], taken: Status | None, reason: str) -> Coverage:
    """What was not seen: keys that could not be listed or read, tokens not counted."""
    gaps = [f"tokens are not counted: {reason}"] if reason else []
    gaps += list(taken.coverage.reasons) if taken else []
    for state in states:
        gaps += [f"{state.name}: {part}: {why}" for part, why in state.missing.items()]
    return Coverage(tuple(dict.fromkeys(gaps)))


def _status(services: Container) -> tuple[Status | None, str]:
    """The status, or why there is none: keys can be looked at without the database."""
    try:
        return services.services.status.take_census(), ""
    except DatabaseError as error:
        return None, str(error)
