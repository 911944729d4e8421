"""By key and key material: how many tokens, what KMS says of the key, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.cells import cell_len
from textual.content import Content

from crypto_core.database.tokens.lost_tokens import AcceptedUnderKey, named
from crypto_core.envelope import Format
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import KeyShare, Status
from crypto_core.values.key_names import same_key, short_material
from screens.key_shares import by_material, evidence_words, token_sum
from screens.key_words import KeyWords
from screens.moments import ago, day
from screens.routes import KeyRoute, TokensRoute
from screens.widgets.cells import bar, cut, fit
from screens.widgets.line_list import Line, line

WRITE_KEY = ("✎ write key", "✎")
"""Behind the name of the key that Keydeck writes under; on a narrow terminal the sign alone."""
_WRITES = "New tokens are sealed under this key. "
_WITHOUT_KEY = "format:" + ",".join(f.value for f in Format if not f.protected)


def key_lines(
    status: Status, keys: KeyWords, now: datetime, width: int, write_key: str | None = None
) -> list[Line]:
    """A heading, each key with its materials, and rows for tokens of unknown key and of none: all add up.

    The key that `write_key` names is marked, and has a row also where no token is under it yet.
    """
    columns = KeyColumns(width, status.tokens)
    groups: dict[str | None, list[KeyShare]] = {}
    for share in status.keys:
        groups.setdefault(share.key_arn, []).append(share)
    unknown = groups.pop(None, [])
    lines = [Line(columns.heading())]
    writes = keys.named(write_key)
    for shares in sorted(groups.values(), key=lambda shares: -token_sum(shares)):
        arn = shares[0].key_arn or ""
        marked = arn == write_key or (writes is not None and same_key(arn, writes.key_arn))
        lines += _key(shares, keys, now, columns, WRITE_KEY[columns.brief] if marked else "")
    if writes is not None and not any(arn and same_key(arn, writes.key_arn) for arn in groups):
        lines.append(_unused(writes, keys, now, columns))
    if unknown:
        row = columns.key(
            "unknown key", token_sum(unknown), ("?", "$warning"), "", evidence_words(unknown, now)
        )
        hint = f"Enter: these tokens. {_notes(unknown)}"
        lines.append(Line(row, TokensRoute("key:unknown"), hint))
    rest = status.tokens - token_sum(status.keys)
    if rest:
        row = columns.key("no KMS key", rest, ("-", "$muted"), "", ("not encrypted", "$muted"))
        lines.append(Line(row, TokensRoute(_WITHOUT_KEY), "Enter: these tokens."))
    for of_key in status.accepted:
        lines += _accepted(of_key, keys, width)
    return lines


def _accepted(of_key: AcceptedUnderKey, keys: KeyWords, width: int) -> list[Line]:
    """The count under a key beside what was accepted as lost of it: never a zero alone."""
    words = of_key.words(keys.long(of_key.key_arn))
    refs = named(loss.value.ref for loss in of_key.accepted)
    parts = Content(words).wrap(width - 2)
    return [line(("  " if n else "▲ ", "$warning"), part, hint=refs) for n, part in enumerate(parts)]


def _unused(key: KeyState, keys: KeyWords, now: datetime, columns: KeyColumns) -> Line:
    """The key that Keydeck writes under, while nothing is under it."""
    used = ago(key.last_used_at, now).removesuffix(" ago") if key.last_used_at else "?"
    state = _state_word(key.state, trusted=True)
    row = columns.key(keys.long(key.key_arn), 0, state, used, ("-", "$muted"), WRITE_KEY[columns.brief])
    return Line(row, KeyRoute(key.key_arn), f"Enter: the key. {_WRITES}")


def _key(
    shares: Sequence[KeyShare], keys: KeyWords, now: datetime, columns: KeyColumns, mark: str
) -> list[Line]:
    arn = shares[0].key_arn or ""
    key = keys.find(arn)
    state = next((s.key_state for s in shares if s.key_state), None) or (key.state if key else None)
    word = _state_word(state, trusted=all(share.trusted for share in shares))
    name = keys.long(arn, next((s.alias for s in shares if s.alias), None))
    used = ago(key.last_used_at, now).removesuffix(" ago") if key and key.last_used_at else "?"
    lines = [
        Line(
            columns.key(name, token_sum(shares), word, used, evidence_words(shares, now), mark),
            KeyRoute(arn),
            f"Enter: the key, its materials and rotation. {_WRITES if mark else ''}{_notes(shares)}",
        )
    ]
    materials = sorted(by_material(shares), key=lambda s: _number(key, s) or 0, reverse=True)
    if len(materials) > 1 or materials[0].key_material_id is not None:
        lines += [
            Line(
                columns.material(
                    _material(key, share, now, brief=columns.brief),
                    share.tokens,
                    evidence_words([share], now),
                    last=share is materials[-1],
                )
            )
            for share in materials
        ]
    return lines


def _state_word(state: str | None, *, trusted: bool) -> tuple[str, str]:
    if state == "PendingDeletion":
        return "✖ deletion", "$error"
    if not trusted:
        return "▲ not trusted", "$warning"
    if state == "Enabled":
        return state, ""
    return f"▲ {state or 'unknown'}", "$warning"


def _notes(shares: Iterable[KeyShare]) -> str:
    notes = dict.fromkeys(share.note.rstrip(".") for share in shares if share.note)
    return " ".join(f"{note}." for note in notes)


def _number(key: KeyState | None, share: KeyShare) -> int | None:
    return key.material_number(share.key_material_id) if key else None


def _material(key: KeyState | None, share: KeyShare, now: datetime, *, brief: bool) -> str:
    if share.key_material_id is None:
        return "material unknown"
    number = _number(key, share)
    if key is None or number is None:
        return f"material {short_material(share.key_material_id)}"
    material = key.materials[number - 1]
    if share.key_material_id == key.current_material_id:
        since = f", since {day(material.since, now)}" if material.since and not brief else ""
        return f"material {number}  current{since}"
    after = key.materials[number] if number < len(key.materials) else None
    return f"material {number}" + (f"  until {day(after.since, now)}" if after and after.since else "")


class KeyColumns:
    """The columns at one width; `whole` is what a full bar stands for."""

    def __init__(self, width: int, whole: int) -> None:
        self.brief = width < 100
        self._whole = whole
        self._tokens = 8 if self.brief else 10
        self._bar = 5 if self.brief else 12
        self._state = 14 if self.brief else 17
        self._used = 0 if width < 90 else 11
        self._evidence = 20 if self.brief else 22
        self._name = width - self._tokens - 2 - self._bar - 2 - self._state - self._used - self._evidence

    def heading(self) -> Content:
        text = (
            fit("by key and material", self._name)
            + fit("tokens", self._tokens, right=True)
            + "  "
            + fit("share", self._bar + 2)
            + fit("state", self._state)
            + fit("last used", self._used)
            + fit("evidence", self._evidence)
        )
        return Content.assemble((text, "$muted"))

    def key(
        self,
        name: str,
        tokens: int,
        state: tuple[str, str],
        used: str,
        evidence: tuple[str, str],
        mark: str = "",
    ) -> Content:
        """A key's row. State and evidence are (text, style); a mark stands behind the name."""
        room = self._name - (cell_len(mark) + 2 if mark else 0)
        whole = fit(name, room) if cell_len(name) > room else name
        return Content.assemble(
            (whole, "bold"),
            (fit(f"  {mark}", self._name - cell_len(whole)), "$accent"),
            *self._share(tokens, "$accent"),
            (fit(state[0], self._state - 1) + " ", state[1]),
            (fit(used, self._used), "$muted"),
            (cut(evidence[0], self._evidence), evidence[1]),
        )

    def material(self, name: str, tokens: int, evidence: tuple[str, str], *, last: bool) -> Content:
        return Content.assemble(
            ("└ " if last else "├ ", "$muted"),
            fit(name, self._name - 2),
            *self._share(tokens, "$accent 55%"),
            " " * (self._state + self._used),
            (cut(evidence[0], self._evidence), evidence[1]),
        )

    def _share(self, tokens: int, style: str) -> tuple[str | tuple[str, str], ...]:
        share = tokens / self._whole if self._whole else 0
        return fit(f"{tokens:,}", self._tokens, right=True), "  ", (bar(share, self._bar), style), "  "
