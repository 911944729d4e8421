"""One key as lines: what KMS says, its materials with the tokens on each, and what could not be learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from textual.content import Content

from crypto_core.findings.severity import Severity
from crypto_core.key_names import region_of
from crypto_core.keys.grants import Grant
from crypto_core.keys.policy.actions import in_words
from crypto_core.keys.state import ON_DEMAND_LIMIT, CustomKeyStore, KeyMaterial, KeyState
from crypto_core.keys.status import Status
from crypto_core.text.cleaning import clean
from screens.ages import ago, day, stamp
from screens.key_shares import by_material, evidence_words, token_sum
from screens.keys.words import state_words
from screens.routes import TokensBehind
from screens.signs import SIGNS
from screens.widgets.cells import bar, cut, fit, tokens
from screens.widgets.line_list import Line

NAME_CELLS = 13
"""Cells of the names on the left."""
BLANK = Line(Content(""))


def key_lines(key: KeyState, status: Status | None, now: datetime, width: int) -> list[Line]:
    """Return what is known of one key. Its first line leads to the tokens under it."""
    return [
        *fact_lines(key, status, now, width),
        BLANK,
        *material_lines(key, status, now, width),
        *missing_lines(key, width),
    ]


def fact_lines(key: KeyState, status: Status | None, now: datetime, width: int) -> list[Line]:
    """Return what KMS says of the key itself. The first line leads to the tokens under it."""
    return [
        _title(key, status, now),
        Line(Content.assemble((cut(key.key_arn, width), "$muted"))),
        *(Line(fact(name, value, style, width)) for name, value, style in _fields(key, now)),
    ]


def _title(key: KeyState, status: Status | None, now: datetime) -> Line:
    sign, state = state_words(key, now)
    words = [clean(key.spec), clean(key.origin), _multi_region(key)]
    count = status.tokens_under(key.key_arn) if status else None
    content = Content.assemble(
        (f"{sign.text} ", sign.style),
        (state if key.state else "state unknown", f"bold {sign.style}"),
        ("".join(f" · {word}" for word in words if word), "$muted"),
        "    ",
        (tokens(count) if count is not None else "", "bold"),
    )
    return Line(content, TokensBehind(_filter(key)), hint="Enter: the tokens under this key.")


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


def _filter(key: KeyState) -> str:
    return f"key:{key.key_arn.rsplit('/', 1)[-1]}"


def _fields(key: KeyState, now: datetime) -> Iterator[tuple[str, str, str]]:
    if len(key.aliases) != 1 or "aliases" in key.missing:
        yield "aliases", ", ".join(clean(a, 120) for a in key.aliases) or _absent(key, "aliases", "none"), ""
    if key.description:
        yield "description", clean(key.description), ""
    manager = {"CUSTOMER": "managed by the customer", "AWS": "managed by AWS"}.get(key.manager or "", "")
    usage = clean(key.usage).lower().replace("_", " and ")
    yield "kind", " · ".join(word for word in (manager, usage, clean(key.region)) if word), ""
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
    yield "rotation", *_rotation(key, now)
    if key.last_used_at:
        operation = f"   {clean(key.last_used_for)}" if key.last_used_for else ""
        yield "last used", f"{stamp(key.last_used_at, now)}   {ago(key.last_used_at, now)}{operation}", ""
    else:
        yield "last used", _absent(key, "last use", _unused(key, now)), "$disabled"
    if key.tags:
        yield "tags", " · ".join(f"{clean(n, 128)}={clean(v, 256)}" for n, v in key.tags.items()), ""
    if key.grants:
        yield "grants", _grants(key.grants), ""


def _unused(key: KeyState, now: datetime) -> str:
    """Without a use on record: since when there is a record."""
    return f"not since {day(key.use_tracked_since, now)}" if key.use_tracked_since else "unknown"


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
    first = f"{grants[0].grantee.name} may {in_words(grants[0].operations)}"
    return first if len(grants) == 1 else f"{len(grants):,}: {first} · …"


def _rotation(key: KeyState, now: datetime) -> tuple[str, str]:
    used = key.on_demand_used if key.rotatable else None
    more = f" · on demand {used} of {ON_DEMAND_LIMIT} used" if used is not None else ""
    if key.rotation_started_at:
        more += " · rotating now"
    if key.rotation_enabled is None:
        return _absent(key, "rotation", _unrotated(key)), "$disabled"
    if not key.rotation_enabled:
        return f"off{more}", ""
    period = f", every {key.rotation_period_days} d" if key.rotation_period_days else ""
    following = f", next {day(key.next_rotation_at, now)}" if key.next_rotation_at else ""
    return f"on{period}{following}{more}", ""


def _unrotated(key: KeyState) -> str:
    """Why KMS tells nothing of the rotation."""
    if key.manager == "AWS":
        return "by AWS, every year"
    if key.state and key.manager and not key.rotatable:
        return "KMS does not rotate such keys: only by another key behind the alias"
    return "unknown"


def _absent(key: KeyState, part: str, otherwise: str) -> str:
    return "? see below" if part in key.missing else otherwise


def fact(name: str, value: str, style: str, width: int) -> Content:
    """Return one line with a name on its left, cut to `width` cells."""
    return Content.assemble((fit(name, NAME_CELLS), "$muted"), (cut(value, width - NAME_CELLS), style))


def missing_lines(key: KeyState, width: int) -> Iterator[Line]:
    """Yield what could not be learnt, and why."""
    if key.missing:
        yield BLANK
    for part, reason in key.missing.items():
        yield Line(
            Content.assemble(
                SIGNS[Severity.HIGH],
                " ",
                (fit(part, NAME_CELLS - 2), "bold"),
                cut(reason, width - NAME_CELLS),
            )
        )


def material_lines(key: KeyState, status: Status | None, now: datetime, width: int) -> Iterator[Line]:
    """A heading, the key's materials with the newest first, and materials that only the tokens tell of."""
    shares = by_material(s for s in (status.keys if status else ()) if s.key_arn == key.key_arn)
    left = {share.key_material_id: share for share in shares}
    under = token_sum(shares)
    bar_width = max(min(width - 76, 40), 6)
    heading = fit("material", NAME_CELLS) + fit("since", 14) + fit("tokens", 9, right=True)
    yield Line(Content.assemble((f"{heading}  {fit('share', bar_width + 2)}evidence", "$muted")))

    def row(name: str, since: datetime | None, material_id: str | None, note: str) -> Line:
        share = left.pop(material_id, None)
        count = share.tokens if share else 0
        evidence, style = evidence_words([share]) if share else ("-", "$disabled")
        content = Content.assemble(
            (fit(name, NAME_CELLS), "bold"),
            fit(day(since, now) if since else "?", 14),
            fit(f"{count:,}" if status else "?", 9, right=True),
            "  ",
            (bar(count / under if under else 0, bar_width), "$accent"),
            "  ",
            (fit(evidence, 22), style),
            (note, "$muted"),
        )
        if not count or material_id is None:
            return Line(content)
        tokens_of_it = TokensBehind(f"{_filter(key)} material:{material_id[:12]}*")
        return Line(content, tokens_of_it, hint="Enter: the tokens under this key material.")

    for number in range(len(key.materials), 0, -1):
        material = key.materials[number - 1]
        yield row(str(number), material.since, material.key_material_id, _material_note(key, material, now))
    for material_id in list(left):
        yield row(f"{clean(material_id, 64)[:8]}…" if material_id else "unknown", None, material_id, "")
    if not key.materials and not shares:
        yield Line(Content.assemble((_absent(key, "materials", "none known"), "$disabled")))


def _material_note(key: KeyState, material: KeyMaterial, now: datetime) -> str:
    if material.expires_at is not None:
        return f"expires {day(material.expires_at, now)}"
    if material.key_material_id == key.current_material_id:
        return "current"
    if material.state in (None, "NON_CURRENT"):
        return ""
    return clean(material.state, 60).lower().replace("_", " ")
