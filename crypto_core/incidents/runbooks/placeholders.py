"""What stands in braces in a runbook's lines, and is filled in from the incident: `{key}`, `{new_key}`, …

What stands between backticks is a command or a settings line: in it every value is whole, and quoted.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_COMMAND = re.compile(r"`([^`]+)`")
_IN_QUOTES = re.compile(r"""'[^']*\{[a-z_]+\}[^']*'|"[^"]*\{[a-z_]+\}[^"]*\"""")

KNOWN_LATER = ("new_key", "job", "encrypt_job")
"""What only the steps find out."""
_DECLARED = ("key", "references", "filter", "database", "since", "origin")
ALIAS = "alias"
"""The alias that the key of an incident had when it was declared, as far as KMS told it."""
PLACEHOLDERS = frozenset({"incident", "number", "title", "subject", ALIAS, *_DECLARED, *KNOWN_LATER})
"""All that there are. Braces around anything but small letters are left as they are."""


def unknown_placeholders(text: str) -> Iterator[str]:
    """Yield the names in braces that mean nothing."""
    return (name for name in _PLACEHOLDER.findall(text) if name not in PLACEHOLDERS)


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return `text` with its placeholders filled in; unknown values are described."""
    return "".join(part for part, _ in filled_parts(text, values, values))


def filled_parts(
    text: str, values: Mapping[str, str], names: Mapping[str, str]
) -> Iterator[tuple[str, bool]]:
    """Yield the parts of `text`, filled in, each with whether it is a command that runs as it stands.

    Commands have the `values`, the words around them the `names` that go for them.
    """
    for number, part in enumerate(_COMMAND.split(text)):
        command = _command(part, values) if number % 2 else ""
        if command or part:
            yield command or _PLACEHOLDER.sub(lambda found: _value(found, names), part), bool(command)


def commands_in(text: str, values: Mapping[str, str]) -> tuple[str, ...]:
    """Return those commands and settings lines of `text` whose values are all known."""
    return tuple(part for part, is_command in filled_parts(text, values, values) if is_command)


def _command(text: str, values: Mapping[str, str]) -> str:
    """A command, filled in; "" if a value is not known, or would be quoted twice."""
    names = [name for name in _PLACEHOLDER.findall(text) if name in PLACEHOLDERS]
    if _IN_QUOTES.search(text) or not all(values.get(name) for name in names):
        return ""
    return _PLACEHOLDER.sub(
        lambda found: shlex.quote(values[found[1]]) if found[1] in PLACEHOLDERS else found[0], text
    )


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    name = found[1]
    if name not in PLACEHOLDERS:
        return found[0]
    if value := values.get(name):
        return value
    if name == ALIAS:
        return "(the key had no alias)"
    return f"({name.replace('_', ' ')} {'not known yet' if name in KNOWN_LATER else 'not given'})"
