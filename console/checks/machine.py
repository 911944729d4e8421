"""This machine as Keydeck finds it: Python, the libraries, the terminal and its colours."""

from __future__ import annotations

import locale
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata

from crypto_core.diagnosis import Check, Topic

TESTED = ((3, 11), (3, 14))

SMALLEST = (80, 24)
"""Columns and lines that the console is readable at."""

_SHOWN = (
    "textual",
    "click",
    "pydantic-settings",
    "sqlalchemy",
    "psycopg2-binary",
    "alembic",
    "boto3",
    "cryptography",
    "prometheus-client",
)


@dataclass(frozen=True, slots=True)
class Terminal:
    """The terminal's properties. `size` is (columns, lines), None without a terminal."""

    environment: Mapping[str, str]
    size: tuple[int, int] | None
    encoding: str

    @classmethod
    def here(cls) -> Terminal:
        size = None
        if sys.__stdin__ is not None and sys.__stdin__.isatty() and sys.__stdout__ is not None:
            try:
                size = tuple(os.get_terminal_size(sys.__stdout__.fileno()))
            except (OSError, ValueError):
                size = None
        encoding = getattr(sys.__stdout__, "encoding", None) or locale.getencoding()
        return cls(dict(os.environ), size, encoding)  # type: ignore[arg-type]


def look_at_machine(area: str, terminal: Terminal | None = None) -> Iterator[Check]:
    yield _python(Topic(area, "Python"), sys.version_info[:2])
    yield _libraries(Topic(area, "libraries"))
    terminal = terminal or Terminal.here()
    yield _terminal(Topic(area, "terminal"), terminal)
    yield _size(Topic(area, "size"), terminal)
    yield _encoding(Topic(area, "characters"), terminal)
    yield _colours(Topic(area, "colours"), terminal)


def _python(topic: Topic, version: tuple[int, int]) -> Check:
    oldest, newest = ((".".join(map(str, v))) for v in TESTED)
    said = f"{platform.python_version()} ({platform.python_implementation()}, {platform.system()})."
    if version > TESTED[1]:
        remedy = f"Keydeck is tested with {oldest} to {newest}; if something odd happens, use one of those."
        return topic.warning(said, remedy)
    return topic.ok(said)


def _libraries(topic: Topic) -> Check:
    least, found, missing, old = _least_versions(), [], [], []
    for name in _SHOWN:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        found.append(f"{name} {version}")
        if _numbers(version) < _numbers(least.get(name, "")):
            old.append(f"{name} {version} (needed: {least[name]})")
    remedy = "Reinstall Keydeck with its dependencies."
    if missing:
        return topic.failed(f"Not installed: {', '.join(missing)}.", remedy)
    return topic.warning(f"Too old: {', '.join(old)}.", remedy) if old else topic.ok(", ".join(found))


def _least_versions() -> dict[str, str]:
    """The versions that Keydeck's own metadata asks for; none where it isn't installed as a package."""
    try:
        required = metadata.requires("keydeck") or []
    except metadata.PackageNotFoundError:
        return {}
    return dict(re.findall(r"^([\w.-]+)>=([\d.]+)", "\n".join(required), re.MULTILINE))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def _terminal(topic: Topic, terminal: Terminal) -> Check:
    name = terminal.environment.get("TERM", "")
    if terminal.size is None:
        return topic.skipped("None here: commands work, the console needs one.")
    if name in ("", "dumb", "unknown"):
        said = f"TERM is {name or 'not set'}: the console can't be drawn."
        return topic.failed(said, "Set TERM to what the terminal is: xterm-256color.")
    program = terminal.environment.get("TERM_PROGRAM", "")
    return topic.ok(f"{name}{f' ({program})' if program else ''}.")


def _size(topic: Topic, terminal: Terminal) -> Check:
    if terminal.size is None:
        return topic.skipped("No terminal.")
    columns, lines = terminal.size
    said = f"{columns} × {lines}."
    if columns < SMALLEST[0] or lines < SMALLEST[1]:
        return topic.warning(said, f"Make it at least {SMALLEST[0]} × {SMALLEST[1]}.")
    return topic.ok(said)


def _encoding(topic: Topic, terminal: Terminal) -> Check:
    if terminal.encoding.lower().replace("-", "").replace("_", "") == "utf8":
        return topic.ok("UTF-8.")
    said = f"{terminal.encoding}: signs and lines can't be shown."
    return topic.warning(said, "Set a UTF-8 locale: export LC_ALL=C.UTF-8")


def _colours(topic: Topic, terminal: Terminal) -> Check:
    environment = terminal.environment
    if environment.get("NO_COLOR"):
        return topic.ok("None, because NO_COLOR is set: signs and words say everything that colours do.")
    if terminal.size is None:
        return topic.skipped("No terminal.")
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return topic.ok("16 million (COLORTERM).")
    if "256color" in environment.get("TERM", "") or environment.get("TERM", "").endswith("-direct"):
        return topic.ok("256: close to the themes' colours.")
    said = "16: the themes' colours are rounded a lot."
    remedy = (
        "If the terminal supports more: export COLORTERM=truecolor. Else choose a theme that "
        "begins with ansi-."
    )
    return topic.warning(said, remedy)
