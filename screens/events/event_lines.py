"""One event in words: a few lines below the list, all of it on its own page."""

from __future__ import annotations

from collections.abc import Iterator

from textual.content import Content

from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import LABELLED
from crypto_core.trail.store import StoredEvent
from crypto_core.values.clean_text import shortened
from screens.event_filters import term
from screens.events.event_list import principal_words, sign_of
from screens.facts import ScreenFacts
from screens.key_changes.block_lines import SIGN, block_words, blocks_of
from screens.moments import ago, whole
from screens.routes import EventsRoute, KeyRoute, PrincipalRoute, TimelineRoute, TokensRoute
from screens.widgets.line_list import Line

NAME_CELLS = 15
UNNAMED = "none: the call has no encryption context that names a row, so CloudTrail can't say which token"
_VALUE = 600


def title(row: StoredEvent, facts: ScreenFacts) -> Content:
    event, sign = row.event, sign_of(row)
    when = whole(event.time, facts.clock()) if event.dated else "undated"
    outcome = ("denied" if event.denied else "failed") if event.failed else "done"
    return Content.assemble(
        sign, " ", (event.name, "bold"), "  ",
        (outcome, "$error" if event.failed else "$success"), "  ",
        (when, "$muted"), "  ",
        (principal_words(event.principal), "$warning" if event.principal.is_human else "")
    )  # fmt: skip


def short_lines(row: StoredEvent | None, facts: ScreenFacts) -> Content:
    if row is None:
        return Content("")
    event = row.event
    lines = [title(row, facts)]
    if event.failed:
        lines.append(_pairs(("error", f"{event.error_code}  {event.error_message}")))
    lines += [
        _pairs(
            ("from", event.source_ip), ("session", event.principal.session), ("Region", event.region),
            ("account", event.account)
        ),
        _pairs(("user agent", event.user_agent)),
        _pairs(("key", ", ".join(facts.key_words.long(arn) for arn in event.key_arns) or event.alias or "-")),
        _pairs(("token", str(event.token_ref) if event.token_ref else UNNAMED)),
    ]  # fmt: skip
    lines += [Content.assemble((f"{SIGN} ", "$success"), words) for words in _blocks(event, facts)]
    noted = _noted(row, facts)
    if noted:
        lines.append(Content.assemble((noted, "$accent")))
    return Content("\n").join(lines)


def _pairs(*pairs: tuple[str, str]) -> Content:
    parts: list[str | tuple[str, str]] = []
    for name, value in pairs:
        parts += [(f"{name} ", "$muted"), f"{value or '-'}   "]
    return Content.assemble(*parts)


def _noted(row: StoredEvent, facts: ScreenFacts) -> str:
    now = facts.clock()
    reviewed = f"✓ reviewed {ago(row.reviewed_at, now)}" if row.reviewed_at is not None else ""
    note = f"✎ {row.note}" if row.note else ""
    by = f"  by {row.noted_by}" if row.noted_by else ""
    return f"{reviewed}  {note}".strip() + (by if reviewed or note else "")


def _blocks(event: TrailEvent, facts: ScreenFacts) -> Iterator[str]:
    """Yield on which keys whoever made the call is blocked by now."""
    return (block_words(block, facts) for block in blocks_of(facts, (event.principal.arn,)))


def field_lines(row: StoredEvent, facts: ScreenFacts, width: int) -> Iterator[Line]:
    """Yield every field; Enter on one leads to what it names, or to the events that have it too."""
    event = row.event
    yield Line(title(row, facts))
    noted = _noted(row, facts)
    if noted:
        yield from _field("noted", noted, width)
    for words in _blocks(event, facts):
        yield from _field(f"{SIGN} principal", words, width, style="$success")
    yield Line(Content(""))
    yield from _about_call(event, facts, width)
    yield from _about_principal(event, width)
    yield from _about_keys(event, facts, width)
    for receipt in row.receipts:
        style = "" if receipt.explains else "$warning"
        yield from _field("receipt", receipt.words, width, style=style)
    for name, value, asked in (
        *((one.label, one.text(event), one.name) for one in LABELLED),
        ("type", event.event_type, ""),
        ("request id", event.request_id, ""),
        ("event id", event.event_id, ""),
    ):
        yield from _field(name, value, width, field=asked)


def _about_call(event: TrailEvent, facts: ScreenFacts, width: int) -> Iterator[Line]:
    when = whole(event.time, facts.clock()) if event.dated else "undated: the record has no time"
    if event.is_future(facts.clock()):
        when = f"{when}, in the future: a clock is wrong, or it was made up"
    yield from _field("time", when, width)
    yield from _field("event", event.name, width, field="name")
    yield from _field("error", event.error_code, width, field="error", style="$error")
    yield from _field("message", event.error_message, width, style="$error")
    yield from _field("from", event.source_ip, width, field="ip")
    yield from _field("user agent", event.user_agent, width, field="agent")
    if event.through_service:
        noise = "noise of a review, hidden by -service" if event.by_service else "it can have opened a token"
        yield from _field("by a service", f"yes: {noise}", width)


def _about_principal(event: TrailEvent, width: int) -> Iterator[Line]:
    who = event.principal
    kind = f"{who.kind}{', from the console' if who.from_console else ''}"
    route = PrincipalRoute(who.arn) if who.arn else None
    yield from _field(
        "principal", who.arn, width, target=route, hint="Enter: what it opened and could have opened."
    )
    yield from _field("identity type", kind, width)
    yield from _field("session", who.session, width, field="session")
    yield from _field("access key", who.access_key_id, width, field="access_key")
    yield from _field("invoked by", who.invoked_by, width)
    if who.mfa is not None:
        yield from _field("MFA", "yes" if who.mfa else "no", width)


def _about_keys(event: TrailEvent, facts: ScreenFacts, width: int) -> Iterator[Line]:
    for arn in event.key_arns:
        words = f"{facts.key_words.long(arn)}  {arn}"
        yield from _field("key", words, width, target=KeyRoute(arn), hint="Enter: the key.")
    yield from _field("alias", event.alias, width, field="key")
    for material in event.material_ids:
        yield from _field("key material", material, width, field="material")
    for name, value in event.encryption_context.items():
        yield from _field("context", f"{name} = {value}", width)
    if event.token_ref is None:
        yield from _field("token", UNNAMED if event.is_kms else "", width, style="$muted")
        return
    ref = str(event.token_ref)
    connection = TokensRoute(f'reference:"{ref}"') if '"' not in ref else None
    yield from _field("token", ref, width, target=connection, hint="Enter: the connection.")
    words = "who opened and sealed it, and when"
    route = TimelineRoute(event.token_ref)
    yield from _field("its timeline", words, width, target=route, hint="Enter: the token's timeline.")


def _field(
    name: str,
    value: str,
    width: int,
    *,
    field: str = "",
    target: object = None,
    hint: str = "Enter: these events.",
    style: str = "",
) -> Iterator[Line]:
    if not value:
        return
    if target is None and field:
        target = EventsRoute(term(field, value))
    shown = Content.assemble((shortened(value, _VALUE), style or ("$accent" if target is not None else "")))
    label = shortened(name, NAME_CELLS - 1).ljust(NAME_CELLS)
    for place, line in enumerate(shown.wrap(max(width - NAME_CELLS, 20))):
        head = (label if place == 0 else " " * NAME_CELLS, "$muted")
        first = place == 0 and target is not None
        yield Line(Content.assemble(head, line), target if first else None, hint if first else "")
