"""A command of the team's own: its words, the lists that it is offered on, and its arguments for one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.errors import RefusedError

LISTS = ("connections", "keys", "events", "findings", "incidents", "jobs")
ARGUMENT_LIMIT = 4_096


@dataclass(frozen=True, slots=True)
@cleans(200, raw=("arguments",))
class UserCommand:
    """A program and its arguments, in which {name} stands for a field of the row; never given to a shell.

    `looks` is True for one that changes nothing: it is not asked about, and not refused read only. `seconds`
    is how long it may take.
    """

    name: CleanText
    title: CleanText
    arguments: tuple[str, ...]
    lists: tuple[str, ...]
    key: str = ""
    looks: bool = False
    seconds: float = 60.0

    def filled(self, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the program and its arguments for a row.

        Raises RefusedError for a field that the row doesn't have, and where a value would be taken for an
        option, because an argument begins with its hyphen.
        """
        return tuple(self._argument(template, fields) for template in self.arguments)

    def _argument(self, template: str, fields: Mapping[str, Any]) -> str:
        parts = []
        for literal, name, _, _ in Formatter().parse(template):
            parts.append(literal)
            if name is not None:
                parts.append(self._value(name, fields))
        whole = "".join(parts)
        if whole.startswith("-") and not template.startswith("-"):
            raise RefusedError(
                f"{self.title}: {clean(template, 60)} is {clean(whole, 60)!r} here: an option.",
                remedy="Put -- or the option's name before it in user_commands.",
            )
        return whole

    def _value(self, name: str, fields: Mapping[str, Any]) -> str:
        known = told(fields)
        if name not in known:
            raise RefusedError(
                f"{self.title}: this row has no {clean(name, 60)}.",
                remedy=f"It has: {clean(', '.join(known), 500)}.",
            )
        value = known[name]
        text = clean(value, ARGUMENT_LIMIT + 1)
        if len(text) > ARGUMENT_LIMIT:
            raise RefusedError(f"{self.title}: {name} has more than {ARGUMENT_LIMIT:,} characters here.")
        return text


def told(fields: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Return what a row has to say, by name: its own fields, then those of its mappings, such as `shown`."""
    inner = {n: v for one in fields.values() if isinstance(one, Mapping) for n, v in one.items()}
    return {n: v for n, v in (inner | dict(fields)).items() if isinstance(v, str | int | float) and v != ""}


def checked_template(template: str) -> str:
    """Return an argument's template. Raises ValueError where a field is more than a name."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{clean(template, 60)!r}: {error}") from None
    for _, name, form, conversion in parts:
        if name is not None and (not name.isidentifier() or form or conversion):
            raise ValueError(f"{clean(template, 60)!r}: write a field as {{name}}, a brace as {{{{ or }}}}")
    return template


@dataclass(frozen=True, slots=True)
@cleans(2_000)
class CommandOutcome:
    """What came of a command: its exit code, None where it was ended, and what it said, without secrets."""

    exit_code: int | None
    lines: tuple[CleanText, ...]
    trouble: CleanText = NO_TEXT
