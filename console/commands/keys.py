"""keydeck keys list, keydeck keys show, and what else there is of keys."""

from __future__ import annotations

from typing import Any

import click

from console.commands.key_changes import COMMANDS
from console.commands.key_policy import policy
from console.commands.session import json_option, wired
from console.printing import print_json, print_table, say
from console.wiring import Wired
from crypto_core.coverage import Coverage
from crypto_core.errors import DatabaseError
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import Status


@click.group()
def keys() -> None:
    """KMS keys: state, rotation, material, tokens under each."""


keys.add_command(policy)
for changing in COMMANDS:
    keys.add_command(changing)


@keys.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, *, as_json: bool) -> None:
    """List the keys that guard tokens and all that can be listed."""
    with wired(ctx) as services:
        taken, reason = _status(services)
        states = list(services.services.keys.list())
        known = {s.key_arn for s in states}
        for share in taken.keys if taken else ():
            if share.key_arn and share.key_arn not in known:
                known.add(share.key_arn)
                states.append(KeyState(share.key_arn, "", state=share.key_state))
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
    for gap in coverage.reasons:
        say(f"Not covered: {gap}")


@keys.command()
@click.argument("key")
@json_option
@click.pass_context
def show(ctx: click.Context, *, key: str, as_json: bool) -> None:
    """Show one key. KEY is a key ARN, key id, alias or alias ARN."""
    with wired(ctx) as services:
        state = services.services.keys.show(key)
        taken, reason = _status(services)
    if as_json:
        print_json(state.as_json() | _tokens(state, taken))
        return
    facts: list[tuple[str, str]] = [
        ("key", state.key_arn),
        ("aliases", ", ".join(state.aliases) or "-"),
        ("state", state.state or "not known"),
        ("description", state.description or "-"),
        ("created", str(state.created_at or "-")),
        ("managed by", state.manager or "-"),
        ("origin", state.origin or "-"),
        ("spec", state.spec or "-"),
        ("multi-Region", "yes" if state.multi_region else "no"),
        ("rotation", _rotation(state)),
        ("last used", f"{state.last_used_at} for {state.last_used_for}" if state.last_used_at else "-"),
        ("tokens", f"{taken.tokens_under(state.key_arn):,}" if taken else f"not counted: {reason}"),
    ]
    if state.deletion_at:
        facts.append(("deleted on", str(state.deletion_at)))
    for number, material in enumerate(state.materials, start=1):
        tokens = _tokens_on(material.key_material_id, taken)
        since = material.since.strftime("%Y-%m-%d") if material.since else "?"
        facts.append(
            (f"material {number}", f"{material.key_material_id}  {material.state}  since {since}  {tokens}")
        )
    facts += [(f"{part} missing", why) for part, why in state.missing.items()]
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        click.echo(f"{name:{width}}  {value}")


def _coverage(states: list[KeyState], taken: Status | None, reason: str) -> Coverage:
    """What the list of keys does not show: keys that could not be listed or read, tokens not counted."""
    gaps = [f"tokens are not counted: {reason}"] if reason else []
    gaps += list(taken.coverage.reasons) if taken else []
    for state in states:
        gaps += [f"{state.name}: {part}: {why}" for part, why in state.missing.items()]
    return Coverage(tuple(dict.fromkeys(gaps)))


def _status(services: Wired) -> tuple[Status | None, str]:
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
