"""A key in words: its state and rotation on a row, all that KMS says of it, its materials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from crypto_core.incidents.keys.rotation.guide import GuideStepState
from crypto_core.keys.grants import Grant
from crypto_core.keys.policy.actions import in_words
from crypto_core.keys.state import ON_DEMAND_LIMIT, CustomKeyStore, KeyMaterial, KeyState
from crypto_core.values.clean_text import shortened
from crypto_core.values.key_names import region_of
from screens.moments import ago, day, stamp
from screens.signs import Sign

UNKNOWN = ("?", "$disabled")
STEPS: Mapping[GuideStepState, Sign] = {
    GuideStepState.DONE: Sign("✔", "$success"),
    GuideStepState.NOW: Sign("▶", "$accent"),
    GuideStepState.WAITING: Sign("·", "$muted"),
    GuideStepState.UNKNOWN: Sign("?", "$warning"),
    GuideStepState.IMPOSSIBLE: Sign("✖", "$error"),
}


def state_words(key: KeyState, now: datetime) -> tuple[Sign, str]:
    if key.state is None:
        return Sign("○", "$disabled"), "?"
    if key.state == "Enabled":
        return Sign("●", "$success"), "Enabled"
    if key.state == "PendingDeletion":
        on = f"deletion {day(key.deletion_at, now)}" if key.deletion_at else "pending deletion"
        return Sign("✖", "$error"), on
    return Sign("▲", "$warning"), shortened(key.state or "", 40)


def rotation_words(key: KeyState) -> tuple[str, str]:
    if key.rotation_enabled is None:
        return UNKNOWN
    if not key.rotation_enabled:
        return "off", "$muted"
    return (f"{key.rotation_period_days} d" if key.rotation_period_days else "on, ? d"), ""


def kind_words(key: KeyState) -> list[str]:
    return [word for word in (key.spec, key.origin, _multi_region(key)) if word]


def _multi_region(key: KeyState) -> str:
    if not key.multi_region:
        return ""
    return (
        "multi-Region replica"
        if key.is_replica
        else "multi-Region primary"
        if key.primary_arn
        else "multi-Region"
    )


def key_facts(key: KeyState, now: datetime) -> Iterator[tuple[str, str, str]]:
    if len(key.aliases) != 1 or "aliases" in key.missing:
        yield "aliases", ", ".join(key.aliases) or absent(key, "aliases", "none"), ""
    if key.description:
        yield "description", key.description, ""
    manager = {"CUSTOMER": "managed by the customer", "AWS": "managed by AWS"}.get(key.manager or "", "")
    usage = (key.usage or "").lower().replace("_", " and ")
    yield "kind", " · ".join(word for word in (manager, usage, key.region) if word), ""
    if key.primary_arn:
        yield "Regions", _regions(key), ""
    if key.key_store:
        yield "key store", *_key_store(key.key_store)
    if key.created_at:
        yield "created", f"{stamp(key.created_at, now)}   {ago(key.created_at, now)}", ""
    if key.deletion_at:
        yield "deletion", f"{stamp(key.deletion_at, now)}   {ago(key.deletion_at, now)}", "$error"
    if key.expires_at:
        yield "expires", f"{stamp(key.expires_at, now)}   {ago(key.expires_at, now)}, imported", "$warning"
    yield "rotation", *rotation_facts(key, now)
    if key.last_used_at:
        operation = f"   {key.last_used_for}" if key.last_used_for else ""
        yield "last used", f"{stamp(key.last_used_at, now)}   {ago(key.last_used_at, now)}{operation}", ""
    else:
        yield "last used", absent(key, "last use", unused(key, now)), "$disabled"
    if key.tags:
        yield "tags", " · ".join(f"{n}={v}" for n, v in key.tags.items()), ""
    if key.grants:
        yield "grants", _grants(key.grants), ""


def unused(key: KeyState, now: datetime) -> str:
    return f"not since {day(key.use_tracked_since, now)}" if key.use_tracked_since else "not known"


def _regions(key: KeyState) -> str:
    def region(arn: str) -> str:
        name = region_of(arn) or "?"
        return f"{name} (this one)" if arn == key.key_arn else name

    replicas = ", ".join(region(arn) for arn in key.replica_arns)
    return f"primary {region(key.primary_arn or '')} · {f'replicas {replicas}' if replicas else 'no replica'}"


def _key_store(store: CustomKeyStore) -> tuple[str, str]:
    connection = store.connection or "connection unknown"
    words = (store.name or store.store_id, store.kind or "", connection, store.error or "")
    style = "" if store.connection == "CONNECTED" else "$warning"
    return " · ".join(
        word.lower().replace("_", " ") if word.isupper() else word for word in words if word
    ), style


def _grants(grants: Sequence[Grant]) -> str:
    first = grant_words(grants[0])
    return first if len(grants) == 1 else f"{len(grants):,}: {first} · …"


def grant_words(grant: Grant) -> str:
    return f"{grant.grantee.name} may {in_words(grant.operations)}"


def rotation_facts(key: KeyState, now: datetime) -> tuple[str, str]:
    words, style = schedule_words(key, now)
    if key.rotation_enabled is None:
        return words, style
    if key.rotatable and key.on_demand_used is not None:
        words += f" · on demand {key.on_demand_used} of {ON_DEMAND_LIMIT} used"
    return f"{words} · rotating now" if key.rotation_started_at else words, style


def schedule_words(key: KeyState, now: datetime) -> tuple[str, str]:
    if key.rotation_enabled is None:
        return absent(key, "rotation", _unrotated(key)), "$disabled"
    if not key.rotation_enabled:
        return "off", ""
    days = key.rotation_period_days
    period = f", every {days} d" if days else ", period not known"
    following = f", next {day(key.next_rotation_at, now)}" if key.next_rotation_at else ""
    return f"on{period}{following}", ""


def _unrotated(key: KeyState) -> str:
    if key.manager == "AWS":
        return "by AWS, every year"
    if key.state and key.manager and not key.rotatable:
        return "KMS does not rotate such keys: only by another key behind the alias"
    return "not known"


def absent(key: KeyState, part: str, otherwise: str) -> str:
    """Return the words for a part that isn't there: `otherwise`, unless it could not be learnt."""
    return "? see below" if part in key.missing else otherwise


def material_note(key: KeyState, material: KeyMaterial, now: datetime) -> str:
    if material.expires_at is not None:
        return f"expires {day(material.expires_at, now)}"
    if material.key_material_id == key.current_material_id:
        return "current"
    if material.state in (None, "NON_CURRENT"):
        return ""
    return (material.state or "").lower().replace("_", " ")
