"""The manual as HTML: files that need no network and no script, in light, dark and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from console.manual.book import Book
from console.manual.contents import CONTENTS
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError
from screens.manual_page import ManualPage, topic_of

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_html(folder: Path) -> list[Path]:
    """Write index.html and a file for each page, over earlier ones; return them. Raises SettingsError."""
    files = {folder / name: text for name, text in html_files().items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        where = clean(error.filename or folder, 300)
        raise SettingsError(
            f"{where} can't be written: {error.strerror}.", remedy="Name a folder that you can write to."
        ) from error
    return list(files)


def html_files() -> dict[str, str]:
    pages = Book().pages()
    files = {f"{page.topic}.html": _document(page.title, _article(page), page.topic) for page in pages}
    return {"index.html": _document("The manual", _index()), **files}


def _index() -> str:
    parts = ["<h1>The manual of Keydeck</h1>"]
    for chapter, entries in CONTENTS.items():
        parts.append(f"<h2>{escape(chapter)}</h2>\n<dl>")
        for entry in entries:
            title = escape(Book().page(entry.topic).title)
            link = f'<a href="{entry.topic}.html">{title}</a>'
            parts.append(f"<div><dt>{link}</dt><dd>{escape(entry.summary)}</dd></div>")
        parts.append("</dl>")
    return "\n".join(parts)


def _document(title: str, body: str, topic: str = "") -> str:
    style = resources.files("console.manual").joinpath("manual.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(title)} · Keydeck</title>
<style>
{style}</style>
</head>
<body id="{topic or "index"}">
<nav aria-label="Contents">
{_contents(topic)}
</nav>
<main>
{body}
</main>
</body>
</html>
"""


def _contents(here: str) -> str:
    lines = ['<p><a href="index.html">Keydeck</a></p>']
    for chapter, entries in CONTENTS.items():
        lines.append(f"<h2>{escape(chapter)}</h2>\n<ul>")
        for entry in entries:
            title = escape(Book().page(entry.topic).title)
            current = ' aria-current="page"' if entry.topic == here else ""
            lines.append(f'<li><a href="{entry.topic}.html"{current}>{title}</a></li>')
        lines.append("</ul>")
    return "\n".join(lines)


def _article(page: ManualPage) -> str:
    """A page's Markdown as HTML. What is no markup of Markdown is escaped, tags among it."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = list(_without_pictures(markdown.parse(page.text)))
    _name_headings(tokens)
    for token in tokens:
        token.children = list(_with_links_of_the_manual(token.children or ()))
    return "".join(
        _fence(token)
        if token.type == "fence"
        else str(markdown.renderer.render([token], markdown.options, {}))
        for token in tokens
    )


def _without_pictures(tokens: Sequence[Token]) -> Iterator[Token]:
    """Leave out paragraphs that are one picture: pictures of screens are not in the package."""
    alone = {
        number
        for number, token in enumerate(tokens)
        if token.type == "inline" and [child.type for child in token.children or ()] == ["image"]
    }
    return (token for number, token in enumerate(tokens) if not alone & {number - 1, number, number + 1})


def _name_headings(tokens: Sequence[Token]) -> None:
    """Give headings the ids by which links lead to them."""
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor(inline.content))


def anchor(title: str) -> str:
    """Return a heading's id, as code hosts make it."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _with_links_of_the_manual(tokens: Sequence[Token]) -> Iterator[Token]:
    """Yield what a line is made of; links lead to files of the manual or to https, others are their text."""
    kept = True
    for token in tokens:
        if token.type == "link_open":
            link = str(token.attrs["href"])
            topic = topic_of(link)
            kept = bool(topic) or link.startswith("https://")
            if topic:
                token.attrSet("href", f"{topic}.html{link[link.find('#') :] if '#' in link else ''}")
        if kept or token.type not in ("link_open", "link_close"):
            yield token


def _fence(token: Token) -> str:
    """A block of code; where a picture is named, that, with the text as its description."""
    name = token.info.partition(" ")[2]
    if name:
        return resources.files("console.manual").joinpath("pictures", name).read_text(encoding="utf-8")
    return f"<pre><code>{escape(token.content)}</code></pre>\n"
