"""keydeck events token, keydeck events principal: facts, and possible use apart from them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from console.commands.output_options import json_option
from console.commands.session import services_of
from console.completion.offers import token_references
from console.container import Container
from console.host.interrupts import cancelled_by_interrupt
from console.printed.printing import print_json, print_line, say
from console.printed.terminal import width_of_terminal
from crypto_core.errors import KmsError, SettingsError
from crypto_core.references import TokenRef, parse_reference
from screens.ages import Clock, system_clock
from screens.key_words import KeyWords

if TYPE_CHECKING:
    from screens.widgets.line_list import Line

_WIDE = 200
"""Characters of a line where lines may be as long as they are."""
_STOP = "Stopping."


@click.command()
@click.argument("reference", shell_complete=token_references)
@json_option
def token(*, reference: str, as_json: bool) -> None:
    """Who opened one token, according to CloudTrail and receipts, and what was done with it afterwards.

    REFERENCE is table.column:row-id, or table:row-id for every token of a row. For a v2 token this is
    exact: its records name the row. No record names a v1 token: where the caller wrote receipts, these name
    it, and the answer says for whom and which times they cover. The other calls that could have opened it
    are listed apart. Openings and uses stand in one list, in the order of time: what GitHub's log names by
    the token's hash is a fact, what was done in its Slack workspace or on its Atlassian site a possibility.
    """
    from screens.use.token_screen import token_lines, use_lines

    parsed = parse_reference(reference)
    with services_of() as services, cancelled_by_interrupt(_STOP) as cancelled:
        refs = (parsed,) if isinstance(parsed, TokenRef) else services.catalogue().references(parsed)
        found = [services.services.event_use.token_timeline(ref, cancelled=cancelled) for ref in refs]
        judge = services.token_uses.judge(cancelled=cancelled)
        uses = [services.token_uses.use_of(timeline, judge, cancelled=cancelled) for timeline in found]
        if not as_json:
            words, width = _words_of(services), _width()
            for number, (timeline, use) in enumerate(zip(found, uses, strict=True)):
                if number:
                    click.echo()
                _print_lines(token_lines(timeline, width, words, use_lines(use, width, words)))
                named = [timeline.named, *([timeline.receipted.use] if timeline.receipted else [])]
                filters = [one.filter for one in named if one.events]
                filters += [one.filter for one in timeline.could if one.calls]
                _say_filters("events list --all", filters)
            return
    documents = [one.as_json() | {"use": use.as_json()} for one, use in zip(found, uses, strict=True)]
    print_json(documents[0] if isinstance(parsed, TokenRef) else {"tokens": documents})


@click.command()
@click.argument("name")
@json_option
def principal(*, name: str, as_json: bool) -> None:
    """Which tokens a principal opened, and which it could have opened.

    NAME is its ARN, the ARN of a role's session, or a part of the ARN such as role/platform or intruder.
    """
    from screens.principals.screen import principal_lines

    with services_of() as services, cancelled_by_interrupt(_STOP) as cancelled:
        radius = services.services.event_use.blast_radius(name, cancelled=cancelled)
        if as_json:
            print_json(radius.as_json())
            return
        _print_lines(principal_lines(radius, (), _width(), _words_of(services)))
    _say_filters("events list --all", [radius.who.filter] if radius.events else [])
    _say_filters("connections", [one.filter for one in radius.could])


@dataclass(slots=True)
class _Words:
    """UseFacts of a command: keys by the names that KMS tells, by the ends of their ids if it tells none."""

    clock: Clock
    key_words: KeyWords


def _words_of(services: Container) -> _Words:
    try:
        return _Words(system_clock, KeyWords(services.keys.list()))
    except (KmsError, SettingsError):
        return _Words(system_clock, KeyWords())


def _print_lines(lines: Iterable[Line]) -> None:
    for line in lines:
        print_line(line.content.plain)


def _width() -> int:
    return width_of_terminal() or _WIDE


def _say_filters(command: str, filters: Iterable[str]) -> None:
    """Name the commands that list what was counted; a filter holds what others wrote."""
    for one in filters:
        say(f"keydeck {command} --filter {shlex.quote(one)}")
