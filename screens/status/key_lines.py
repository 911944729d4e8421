"""By key and key material: how many tokens, what KMS says of the key, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from textual.content import Content

from crypto_core.coverage import Evidence
from crypto_core.foreign import clean
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import KeyShare, Status
from screens.ages import ago, day
from screens.key_words import KeyWords
from screens.routes import KeyBehind
from screens.signs import EVIDENCE_STYLES
from screens.widgets.cells import bar, cut, fit
from screens.widgets.line_list import Line

_SURENESS = (Evidence.CONFLICT, Evidence.UNKNOWN, Evidence.INFERRED, Evidence.VERIFIED)


def key_lines(status: Status, keys: KeyWords, now: datetime, width: int) -> list[Line]:
    """A heading, each key with its materials, and a row for every token that has no key or an unknown one."""
    columns = _Columns(width)
    groups: dict[str | None, list[KeyShare]] = {}
    for share in status.keys:
        groups.setdefault(share.key_arn, []).append(share)
    known = sorted(
        ((arn, shares) for arn, shares in groups.items() if arn is not None),
        key=lambda item: -_sum(item[1]),
    )
    lines = [Line(columns.heading())]
    for arn, shares in known:
        lines += _key(arn, shares, status.tokens, keys, now, columns)
    for share in groups.get(None, ()):
        lines.append(
            Line(
                columns.row(
                    "unknown key", share.tokens, status.tokens, ("?", "$warning"), "", [share], share.note
                )
            )
        )
    rest = status.tokens - _sum(status.keys)
    if rest:
        lines.append(
            Line(columns.row("no KMS key", rest, status.tokens, ("-", ""), "", (), "not encrypted under KMS"))
        )
    return lines


def _key(
    arn: str, shares: Sequence[KeyShare], whole: int, keys: KeyWords, now: datetime, columns: _Columns
) -> list[Line]:
    key = keys.find(arn)
    state = next((s.key_state for s in shares if s.key_state), None) or (key.state if key else None)
    style = "" if state == "Enabled" else "$warning"
    word = state or "unknown"
    name = keys.long(arn, next((s.alias for s in shares if s.alias), None))
    used = _last_used(key, now)
    notes = [s.note for s in shares if s.note]
    if not all(s.trusted for s in shares):
        notes.insert(0, "not trusted")
    many = len(shares) > 1 or shares[0].key_material_id is not None
    lines = [
        Line(
            columns.row(
                name,
                _sum(shares),
                whole,
                (word if state == "Enabled" else f"▲ {word}", style),
                used,
                shares,
                "; ".join(dict.fromkeys(notes)),
            ),
            KeyBehind(arn),
            hint=_hint(state, notes),
        )
    ]
    if many:
        ordered = sorted(shares, key=lambda s: _generation(key, s), reverse=True)
        lines += [
            Line(columns.material(_material(key, share, now), share, whole, last=share is ordered[-1]))
            for share in ordered
        ]
    return lines


def _hint(state: str | None, notes: Sequence[str]) -> str:
    said = " ".join(clean(note).rstrip(".") + "." for note in dict.fromkeys(notes))
    return f"{said} Enter: the key, its materials and its rotation.".strip()


def _sum(shares: Iterable[KeyShare]) -> int:
    return sum(share.tokens for share in shares)


def _generation(key: KeyState | None, share: KeyShare) -> int:
    return (key.material_number(share.key_material_id) if key else None) or 0


def _last_used(key: KeyState | None, now: datetime) -> str:
    if key is None or "last use" in key.missing:
        return "?"
    return ago(key.last_used_at, now).removesuffix(" ago") if key.last_used_at else "?"


def _material(key: KeyState | None, share: KeyShare, now: datetime) -> str:
    if share.key_material_id is None:
        return "material unknown"
    number = key.material_number(share.key_material_id) if key else None
    if key is None or number is None:
        return f"material {clean(share.key_material_id, 64)[:6]}…"
    current = share.key_material_id == key.current_material_id
    material = key.materials[number - 1]
    if current:
        return f"material {number}  current" + (
            f", since {day(material.since, now)}" if material.since else ""
        )
    after = key.materials[number] if number < len(key.materials) else None
    return f"material {number}" + (f"  until {day(after.since, now)}" if after and after.since else "")


class _Columns:
    """Where the columns stand at one width."""

    def __init__(self, width: int) -> None:
        self.bar = 10 if width >= 100 else 6
        self.state = 13
        self.used = 9 if width >= 90 else 0
        self.evidence = 20 if width >= 100 else 16
        self.tokens = 9
        self.name = width - self.bar - self.state - self.used - self.evidence - self.tokens - 5

    def heading(self) -> Content:
        text = (
            fit("by key and material", self.name)
            + fit("tokens", self.tokens, right=True)
            + "  "
            + fit("share", self.bar + 2)
            + fit("state", self.state)
            + (fit("last used", self.used + 1) if self.used else "")
            + fit("evidence", self.evidence)
        )
        return Content.assemble((text, "$muted"))

    def row(
        self,
        name: str,
        count: int,
        whole: int,
        state: tuple[str, str],
        used: str,
        shares: Sequence[KeyShare],
        note: str,
    ) -> Content:
        evidence, style = _evidence(shares, note)
        return Content.assemble(
            (fit(name, self.name), "bold"),
            fit(f"{count:,}", self.tokens, right=True),
            "  ",
            (bar(count / whole if whole else 0, self.bar), "$accent"),
            "  ",
            (fit(state[0], self.state), state[1]),
            (fit(used, self.used + 1) if self.used else ""),
            (cut(evidence, self.evidence), style),
        )

    def material(self, name: str, share: KeyShare, whole: int, *, last: bool) -> Content:
        evidence, style = _evidence([share], "")
        return Content.assemble(
            ("└ " if last else "├ ", "$muted"),
            fit(name, self.name - 2),
            fit(f"{share.tokens:,}", self.tokens, right=True),
            "  ",
            (bar(share.tokens / whole if whole else 0, self.bar), "$accent 60%"),
            "  ",
            " " * (self.state + (self.used + 1 if self.used else 0)),
            (cut(evidence, self.evidence), style),
        )


def _evidence(shares: Sequence[KeyShare], note: str) -> tuple[str, str]:
    if not shares:
        return note, "$muted"
    evidence = next(e for e in _SURENESS if any(s.evidence is e for s in shares))
    asked = sum(s.asked for s in shares)
    words = evidence.value
    if evidence is Evidence.INFERRED and asked:
        words = f"inferred ({asked:,} asked)"
    elif evidence in (Evidence.CONFLICT, Evidence.UNKNOWN):
        words = f"▲ {words}" + (f": {note}" if note else "")
    return words, EVIDENCE_STYLES[evidence]
