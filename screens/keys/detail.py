"""One key as lines: what KMS says, its materials with the tokens on each, and what could not be learnt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from textual.content import Content

from crypto_core.database.tokens.decoys import DECOY_SIGN
from crypto_core.findings.finding import Severity
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import Status
from crypto_core.values.counts import counted
from crypto_core.values.key_names import same_key
from screens.key_shares import by_material, evidence_words, token_sum
from screens.keys.words import absent, key_facts, kind_words, material_note, state_words
from screens.moments import day
from screens.routes import TokensRoute
from screens.signs import SIGNS
from screens.use.lines import BLANK, NAME_CELLS, fact
from screens.widgets.cells import bar, cut, fit
from screens.widgets.line_list import Line, line


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
        line((cut(key.key_arn, width), "$muted")),
        *(fact(name, value, width, style=style) for name, value, style in key_facts(key, now)),
        *_tripwire_lines(key, status, width),
    ]


def _tripwire_lines(key: KeyState, status: Status | None, width: int) -> Iterator[Line]:
    """Say what a tripwire's key is for; it goes by the decoys of the last count."""
    decoys = (*status.decoys.standing, *status.decoys.gone) if status else ()
    here = {(d.tripwire, not d.format.binds_row) for d in decoys if same_key(d.key_arn, key.key_arn)}
    for number, own in sorted(here):
        only = (
            "Nothing but decoys: a finding names whoever opens one"
            if own
            else "Some decoys are under it, too"
        )
        yield fact("tripwire", f"{DECOY_SIGN} {number}. {only}.", width)


def _title(key: KeyState, status: Status | None, now: datetime) -> Line:
    sign, state = state_words(key, now)
    count = status.tokens_under(key.key_arn) if status else None
    content = Content.assemble(
        (f"{sign.text} ", sign.style),
        (state if key.state else "state unknown", f"bold {sign.style}"),
        ("".join(f" · {word}" for word in kind_words(key)), "$muted"),
        "    ",
        (counted(count, "token") if count is not None else "", "bold"),
    )
    return Line(content, TokensRoute(_filter(key)), hint="Enter: the tokens under this key.")


def _filter(key: KeyState) -> str:
    return f"key:{key.key_arn.rsplit('/', 1)[-1]}"


def missing_lines(key: KeyState, width: int) -> Iterator[Line]:
    if key.missing:
        yield BLANK
    for part, reason in key.missing.items():
        yield line(
            SIGNS[Severity.HIGH], " ", (fit(part, NAME_CELLS - 2), "bold"), cut(reason, width - NAME_CELLS)
        )


def material_lines(key: KeyState, status: Status | None, now: datetime, width: int) -> Iterator[Line]:
    shares = by_material(status.shares_under(key.key_arn) if status else ())
    left = {share.key_material_id: share for share in shares}
    under = token_sum(shares)
    bar_width = max(min(width - 76, 40), 6)
    heading = fit("material", NAME_CELLS) + fit("since", 14) + fit("tokens", 9, right=True)
    yield line((f"{heading}  {fit('share', bar_width + 2)}evidence", "$muted"))

    def row(name: str, since: datetime | None, material_id: str | None, note: str) -> Line:
        share = left.pop(material_id, None)
        count = share.tokens if share else 0
        evidence, style = evidence_words([share], now) if share else ("-", "$disabled")
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
        tokens_of_it = TokensRoute(f"{_filter(key)} material:{material_id[:12]}*")
        return Line(content, tokens_of_it, hint="Enter: the tokens under this key material.")

    for number in range(len(key.materials), 0, -1):
        material = key.materials[number - 1]
        yield row(str(number), material.since, material.key_material_id, material_note(key, material, now))
    for material_id in list(left):
        yield row(f"{material_id[:8]}…" if material_id else "unknown", None, material_id, "")
    if not key.materials and not shares:
        yield line((absent(key, "materials", "none known"), "$disabled"))
