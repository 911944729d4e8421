"""The manual as it is read: pages from the package, with the parts that are built from declarations."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module, resources

from console.capabilities import manifests
from console.manual.contents import CONTENTS, ENTRIES
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError
from crypto_core.values.typed_names import meant
from screens.manual_page import ManualPage, topic_of

PARTS: dict[str, str] = {
    "actions": "console.manual.actions",
    "commands": "console.manual.commands",
    "filters": "console.manual.filters",
    "large_jobs": "console.manual.large_jobs",
    "runbooks": "console.manual.runbooks",
    "schemas": "console.manual.schemas",
    "settings": "console.manual.settings",
}
"""What stands in a page as `<!-- NAME -->`, by the module whose `markdown` writes it; not capabilities'."""

_OWN = ("console", "crypto_core")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_PART = re.compile(r"^<!-- (\w+) -->$", re.MULTILINE)
_CHAPTERS = {entry.topic: chapter for chapter, entries in CONTENTS.items() for entry in entries}


class Book:
    """All pages. What was read or built once is kept: nothing of it changes while a program runs."""

    def pages(self) -> Sequence[ManualPage]:
        return tuple(map(_page, ENTRIES))

    def page(self, topic: str) -> ManualPage:
        if topic not in ENTRIES:
            raise SettingsError(
                f"The manual has no page {clean(topic, 60)!r}.",
                remedy=f"{meant(topic, ENTRIES)}keydeck help lists the pages.",
            )
        return _page(topic)


@cache
def _page(topic: str) -> ManualPage:
    entry = ENTRIES[topic]
    text = _LINK.sub(_led, source(topic))
    if _place(topic)[0] in _OWN:
        text = _PART.sub(lambda found: _part(found[1]), text)
    title = text.partition("\n")[0].removeprefix("# ")
    return ManualPage(topic, title, entry.summary, _CHAPTERS[topic], text)


def _led(link: re.Match[str]) -> str:
    """A link as it stands, or its words alone where it leads to a page of a capability that is not here."""
    topic = "" if link[2].startswith("https:") else topic_of(link[2])
    return link[0] if not topic or topic in ENTRIES else link[1]


def _place(topic: str) -> tuple[str, str]:
    package, _, file = (ENTRIES[topic].file or f"console/manual/pages/{topic}.md").partition("/")
    return package, file


def source(topic: str) -> str:
    package, file = _place(topic)
    try:
        text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    except Exception:  # a package of others is imported for its page
        if package in _OWN:
            raise
        return f"# {topic}\n\nThis page of another package can't be read.\n"
    return text if package in _OWN else "\n".join(clean(line, 2_000) for line in text.split("\n"))


def _added_parts() -> dict[str, str]:
    return {name: module for one in manifests() for name, module in one.parts.items()}


def _part(name: str) -> str:
    write: Callable[[], str] = import_module((PARTS | _added_parts())[name]).markdown
    return write().strip("\n")
