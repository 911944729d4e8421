"""One key as lines: what KMS says, its materials with the tokens on each, and what could not be learnt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from textual.content import Content

from crypto_core.coverage import Evidence
from crypto_core.foreign import clean
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import Status
from screens.ages import ago, day, stamp
from screens.keys.lines import state_words
from screens.routes import TokensBehind
from screens.signs import EVIDENCE_STYLES
from screens.widgets.cells import bar, cut, fit, tokens
from screens.widgets.line_list import Line

_NAME = 14


def key_lines(key: KeyState, status: Status | None, now: datetime, width: int) -> list[Line]:
    """Everything that is known of one key."""
    blank = Line(Content(""))
    lines = [_title(key, status, now, width), blank]
    lines += [Line(_field(name, value, style, width)) for name, value, style in _fields(key, now)]
    lines += [blank, *_materials(key, status, now, width)]
    if key.missing:
        lines += [blank, Line(Content.assemble(("not seen", "$muted")))]
        lines += [
            Line(
                Content.assemble(
                    ("▲ ", "$warning"), (fit(part, _NAME), "bold"), cut(reason, width - _NAME - 2)
                )
            )
            for part, reason in key.missing.items()
        ]
    return lines


def _title(key: KeyState, status: Status | None, now: datetime, width: int) -> Line:
    sign, state, style = state_words(key, now)
    kind = " · ".join(
        word
        for word in (clean(key.spec), clean(key.origin), "multi-Region" if key.multi_region else "")
        if word
    )
    count = status.tokens_under(key.key_arn) if status else None
    content = Content.assemble(
        (f"{sign} ", style),
        (state if state != "?" else "state unknown", f"bold {style}" if style != "$success" else "bold"),
        (f"   {kind}", "$muted"),
        "     ",
        (tokens(count) if count is not None else "", "bold"),
    )
    return Line(
        content,
        TokensBehind(f"key:{key.key_arn}"),
        hint="Enter: the tokens under this key.",
    )


def _fields(key: KeyState, now: datetime) -> Iterator[tuple[str, str, str]]:
    yield "ARN", clean(key.key_arn), ""
    yield "aliases", ", ".join(clean(a, 120) for a in key.aliases) or _absent(key, "aliases", "none"), ""
    if key.description:
        yield "description", clean(key.description), ""
    yield "Region", clean(key.region), ""
    yield (
        "managed by",
        {"CUSTOMER": "customer", "AWS": "AWS"}.get(key.manager or "", clean(key.manager) or "?"),
        "",
    )
    yield "usage", clean(key.usage) or "?", ""
    if key.created_at:
        yield "created", f"{stamp(key.created_at, now)}   {ago(key.created_at, now)}", ""
    if key.deletion_at:
        yield "deletion", f"✖ {stamp(key.deletion_at, now)}   {ago(key.deletion_at, now)}", "$error"
    yield "rotation", *_rotation(key, now)
    if key.last_used_at:
        by = f"   {clean(key.last_used_for)}" if key.last_used_for else ""
        yield "last used", f"{ago(key.last_used_at, now)}   {stamp(key.last_used_at, now)}{by}", ""
    else:
        yield "last used", _absent(key, "last use", "unknown"), "$disabled"


def _rotation(key: KeyState, now: datetime) -> tuple[str, str]:
    if key.rotation_enabled is None:
        return _absent(key, "rotation", "unknown"), "$disabled"
    if not key.rotation_enabled:
        return "off", ""
    period = f", every {key.rotation_period_days} d" if key.rotation_period_days else ""
    following = f", next {stamp(key.next_rotation_at, now)}" if key.next_rotation_at else ""
    return f"on{period}{following}", ""


def _absent(key: KeyState, part: str, otherwise: str) -> str:
    return "not seen, see below" if part in key.missing else otherwise


def _field(name: str, value: str, style: str, width: int) -> Content:
    return Content.assemble((fit(name, _NAME), "$muted"), (cut(value, width - _NAME), style))


def _materials(key: KeyState, status: Status | None, now: datetime, width: int) -> list[Line]:
    shares = {s.key_material_id: s for s in status.keys if s.key_arn == key.key_arn} if status else {}
    under = sum(s.tokens for s in shares.values())
    bar_width = max(min(width - 70, 30), 8)
    lines = [
        Line(
            Content.assemble(
                (
                    fit("material", 12)
                    + fit("since", 14)
                    + fit("tokens", 9, right=True)
                    + "  "
                    + fit("share", bar_width + 2)
                    + "evidence",
                    "$muted",
                )
            )
        )
    ]
    known = list(reversed(key.materials))
    for number, material in zip(range(len(known), 0, -1), known, strict=True):
        share = shares.pop(material.key_material_id, None)
        current = material.key_material_id == key.current_material_id or material.state == "CURRENT"
        lines.append(
            Line(
                _material(
                    str(number),
                    day(material.since, now) if material.since else "?",
                    share.tokens if share else (0 if status else None),
                    under,
                    bar_width,
                    share.evidence if share else None,
                    "current"
                    if current
                    else clean(material.state or "", 40).lower().replace("_", " ")
                    if material.state != "NON_CURRENT"
                    else "",
                ),
            )
        )
    lines += [
        Line(
            _material(
                f"{clean(material_id, 64)[:8]}…" if material_id else "unknown",
                "?",
                share.tokens,
                under,
                bar_width,
                share.evidence,
                "",
            )
        )
        for material_id, share in shares.items()
    ]
    if len(lines) == 1:
        lines.append(Line(Content.assemble((_absent(key, "materials", "none known"), "$disabled"))))
    return lines


def _material(
    name: str, since: str, count: int | None, under: int, bar_width: int, evidence: Evidence | None, note: str
) -> Content:
    return Content.assemble(
        (fit(name, 12), "bold"),
        fit(since, 14),
        fit("?" if count is None else f"{count:,}", 9, right=True),
        "  ",
        (bar(count / under if count and under else 0, bar_width), "$accent"),
        "  ",
        (
            fit(evidence.value if evidence else "-", 10),
            EVIDENCE_STYLES[evidence] if evidence else "$disabled",
        ),
        (note, "$muted"),
    )
