"""Manual pages (man 1), built from the commands as they are declared: man(7), as roff has it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from console.exit_codes import EXIT_CODES
from console.manual.commands import CommandEntry, declared
from console.manual.contents import CONTENTS
from console.manual.writing import write_files

_ESCAPED = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", '"': "\\(dq", "^": "\\(ha", "~": "\\(ti"}


def write_man_pages(folder: Path) -> list[Path]:
    """Write keydeck.1, and keydeck-COMMAND.1 for each command; return the files. Raises SettingsError."""
    return write_files(folder, man_pages())


def man_pages() -> dict[str, str]:
    """Return all pages by their files' names."""
    whole = declared()
    pages = {"keydeck.1": "\n".join(_overview(whole)) + "\n"}
    for entry in whole.below:
        pages[f"{entry.name.replace(' ', '-')}.1"] = "\n".join(_page(entry)) + "\n"
    return pages


def _overview(whole: CommandEntry) -> Iterator[str]:
    yield from _begin(whole)
    yield ".SH COMMANDS"
    for entry in whole.below:
        yield from (".TP", f".BR {_name(entry)} (1)", _roff(entry.says[0]))
    yield from (".SH MANUAL", f".B {_roff('keydeck help')}", ".I TOPIC", "prints a page of the manual.")
    for chapter, entries in CONTENTS.items():
        yield f".SS {_quoted(chapter)}"
        for topic in entries:
            yield from (".TP", f".B {_roff(topic.topic)}", _roff(topic.summary))
    yield from _end()


def _page(entry: CommandEntry) -> Iterator[str]:
    yield from _begin(entry)
    below = [one for one in entry.whole() if one is not entry]
    if below:
        yield ".SH COMMANDS"
    for one in below:
        yield f".SS {_quoted(one.name)}"
        yield from _synopsis(one)
        for part in one.says:
            yield from (".PP", _roff(part))
        yield from _options(one)
    yield from _end()
    yield from (".SH SEE ALSO", ".BR keydeck (1)")


def _begin(entry: CommandEntry) -> Iterator[str]:
    title = entry.name.replace(" ", "-").upper()
    yield f'.TH {_quoted(title)} 1 "" {_quoted("keydeck " + version("keydeck"))} "Keydeck"'
    yield from (".SH NAME", f"{_name(entry)} \\- {_roff(_short(entry.says[0]))}")
    yield ".SH SYNOPSIS"
    yield from _synopsis(entry)
    yield ".SH DESCRIPTION"
    for number, part in enumerate(entry.says):
        yield from (*([".PP"] if number else []), _roff(part))
    if entry.options:
        yield ".SH OPTIONS"
        yield from _options(entry)


def _end() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for code, words in EXIT_CODES.items():
        yield from (".TP", f".B {code}", _roff(words[0].upper() + words[1:] + "."))


def _synopsis(entry: CommandEntry) -> Iterator[str]:
    yield f".B {_roff(entry.name)}"
    if entry.usage:
        yield _roff(entry.usage)


def _options(entry: CommandEntry) -> Iterator[str]:
    for option, says in entry.options:
        yield from (".TP", f".B {_roff(option)}", *([_roff(says)] if says else []))


def _name(entry: CommandEntry) -> str:
    return _roff(entry.name.replace(" ", "-"))


def _short(text: str) -> str:
    """Return a first paragraph as the line of a list: its first sentence, without the full stop."""
    first = text.partition(". ")[0].removesuffix(".")
    return first[:1].lower() + first[1:] if first[1:2].islower() else first


def _quoted(text: str) -> str:
    return f'"{_roff(text)}"'


def _roff(text: str) -> str:
    """Return a text in which no character is a request or an escape of roff."""
    text = "".join(_ESCAPED.get(character, character) for character in text)
    text = "".join(one if one.isascii() else f"\\[u{ord(one):04X}]" for one in text)
    return f"\\&{text}" if text.startswith(".") else text
