"""The page's files, read once: a fixed list of names, so no request ever becomes a path."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file as it is sent."""

    body: bytes
    content_type: str
    charset: str | None


INDEX = "index.html"


def page_files() -> dict[str, PageFile]:
    """Return the files by the name under which the page asks for them."""
    ours = files("console.web") / "page"
    theirs = files("textual_serve") / "static"
    return {
        INDEX: _read(ours / INDEX, "text/html"),
        "page.css": _read(ours / "page.css", "text/css"),
        "page.js": _read(ours / "page.js", "text/javascript"),
        "icon.svg": _read(ours / "icon.svg", "image/svg+xml"),
        "xterm.css": _read(theirs / "css" / "xterm.css", "text/css"),
        "textual.js": _read(theirs / "js" / "textual.js", "text/javascript"),
        "roboto-mono.ttf": _read(theirs / "fonts" / "RobotoMono-VariableFont_wght.ttf", "font/ttf"),
    }


def _read(file: Traversable, content_type: str) -> PageFile:
    return PageFile(file.read_bytes(), content_type, "utf-8" if content_type.startswith("text/") else None)
