"""keydeck keys list, keydeck keys show, and what else there is of keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click

from console.commands.key_changes import COMMANDS
from console.commands.key_policy import policy
from console.commands.key_replacement import materials, replace
from console.commands.session import json_option, services_of
from console.container import Container
from console.printed.printing import print_facts, print_gaps, print_json, print_table
from crypto_core.errors import DatabaseError
from crypto_core.key_names import region_of
from crypto_core.keys.policy.actions import in_words
from crypto_core.keys.state import ON_DEMAND_LIMIT, KeyState
from crypto_core.keys.status import Status
from crypto_core.lists.coverage import Coverage
from crypto_core.text.cleaning import clean


@click.group()
def keys() -> None:
    """KMS keys: state, rotation, material, tokens under each."""


keys.add_command(policy)
keys.add_command(replace)
keys.add_command(materials)
for changing in COMMANDS:
    keys.add_command(changing)


@keys.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the keys that guard tokens and all that can be listed."""
    with services_of() as services:
        taken, reason = _status(services)
        states = list(services.services.keys.list())
    coverage = _coverage(states, taken, reason)
    if as_json:
        print_json(
            {"keys": [s.as_json() | _tokens(s, taken) for s in states], "coverage": coverage.as_json()}
        )
        return
    rows = [
        (
            s.name,
            s.key_arn,
            s.state or "not known",
            _rotation(s),
            f"{taken.tokens_under(s.key_arn):,}" if taken else "?",
            s.last_used_at.strftime("%Y-%m-%d %H:%M") if s.last_used_at else "",
        )
        for s in states
    ]
    print_table(("name", "key", "state", "rotation", "tokens", "last used"), rows)
    print_gaps(coverage.reasons)


@keys.command()
@click.argument("key")
@json_option
def show(*, key: str, as_json: bool) -> None:
    """Show one key. KEY is a key ARN, key id, alias or alias ARN."""
    with services_of() as services:
        state = services.services.keys.show(key)
        taken, reason = _status(services)
    if as_json:
        print_json(state.as_json() | _tokens(state, taken))
        return
    facts = [*_facts(state), ("tokens", _tokens_under(state, taken, reason)), *_materials(state, taken)]
    facts += [(f"{part} missing", why) for part, why in state.missing.items()]
    print_facts(facts)


def _facts(state: KeyState) -> list[tuple[str, str]]:
    facts = [
        ("key", state.key_arn),
        ("aliases", ", ".join(state.aliases) or "-"),
        ("state", state.state or "not known"),
        ("description", state.description or "-"),
        ("created", _at(state.created_at)),
        ("managed by", state.manager or "-"),
        ("origin", state.origin or "-"),
        ("spec", state.spec or "-"),
        ("usage", state.usage or "-"),
        ("multi-Region", _regions(state)),
        ("rotation", _rotation(state)),
    ]
    if state.on_demand_used is not None and state.rotatable:
        facts.append(("on demand", f"{state.on_demand_used} of {ON_DEMAND_LIMIT} rotations used"))
    if state.rotation_started_at:
        facts.append(("rotating", f"on demand, since {_at(state.rotation_started_at)}"))
    facts.append(("last used", _use(state)))
    if state.key_store:
        store = state.key_store
        words = (store.store_id, store.name, store.kind, store.connection, store.error)
        facts.append(("key store", "  ".join(word for word in words if word)))
    if state.expires_at:
        facts.append(("expires", f"{_at(state.expires_at)}: the imported material is deleted then"))
    if state.deletion_at:
        facts.append(("deleted on", _at(state.deletion_at)))
    facts += [("tag", f"{name} = {value}") for name, value in state.tags.items()]
    for grant in state.grants or ():
        to = f"{clean(grant.grantee.value)} may {in_words(grant.operations)}"
        facts.append(("grant", f"{grant.grant_id}  {to}  since {_at(grant.created_at)}"))
    return facts


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M %Z}" if moment else "-"


def _regions(state: KeyState) -> str:
    if not state.multi_region:
        return "no"
    replicas = ", ".join(region_of(arn) or arn for arn in state.replica_arns) or "none"
    if state.is_replica:
        return f"replica of the primary in {region_of(state.primary_arn or '') or '?'}; replicas: {replicas}"
    return f"primary; replicas: {replicas}"


def _use(state: KeyState) -> str:
    if state.last_used_at:
        return f"{_at(state.last_used_at)} for {state.last_used_for}"
    if state.use_tracked_since:
        return f"not since {_at(state.use_tracked_since)}; before that nobody knows"
    return "-"


def _tokens_under(state: KeyState, taken: Status | None, reason: str) -> str:
    return f"{taken.tokens_under(state.key_arn):,}" if taken else f"not counted: {reason}"


def _materials(state: KeyState, taken: Status | None) -> Iterator[tuple[str, str]]:
    for number, material in enumerate(state.materials, start=1):
        words = [
            material.key_material_id,
            material.state or "",
            f"since {material.since:%Y-%m-%d}" if material.since else "since ?",
            (material.rotation or "").lower().replace("_", " "),
            f"expires {_at(material.expires_at)}" if material.expires_at else "",
            _tokens_on(material.key_material_id, taken),
        ]
        yield f"material {number}", "  ".join(word for word in words if word)


def _coverage(states: list[KeyState], taken: Status | None, reason: str) -> Coverage:
    """What the list of keys does not show: keys that could not be listed or read, tokens not counted."""
    gaps = [f"tokens are not counted: {reason}"] if reason else []
    gaps += list(taken.coverage.reasons) if taken else []
    for state in states:
        gaps += [f"{state.name}: {part}: {why}" for part, why in state.missing.items()]
    return Coverage(tuple(dict.fromkeys(gaps)))


def _status(services: Container) -> tuple[Status | None, str]:
    """The status, or why there is none: keys can be looked at without the database."""
    try:
        return services.services.status.take(), ""
    except DatabaseError as error:
        return None, str(error)


def _tokens(state: KeyState, taken: Status | None) -> dict[str, Any]:
    if taken is None:
        return {"tokens": None, "tokens_by_material": None}
    by_material = [
        {"key_material_id": s.key_material_id, "tokens": s.tokens, "evidence": s.evidence.value}
        for s in taken.keys
        if s.key_arn == state.key_arn
    ]
    return {"tokens": taken.tokens_under(state.key_arn), "tokens_by_material": by_material}


def _tokens_on(key_material_id: str, taken: Status | None) -> str:
    if taken is None:
        return ""
    return f"{sum(s.tokens for s in taken.keys if s.key_material_id == key_material_id):,} tokens"


def _rotation(state: KeyState) -> str:
    if state.rotation_enabled is None:
        return state.missing.get("rotation", "-")
    if not state.rotation_enabled:
        return "off"
    following = f", next {state.next_rotation_at:%Y-%m-%d}" if state.next_rotation_at else ""
    return f"every {state.rotation_period_days or 365} d{following}"
