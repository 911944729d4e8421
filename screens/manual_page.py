"""A page of the manual, and who has the pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ManualPage:
    """One page. `text` is Markdown, its title included; links lead to `TOPIC.md`."""

    topic: str
    title: str
    summary: str
    chapter: str
    text: str


class Manual(Protocol):
    """Reads pages from the package, builds those that are made from declarations, and keeps them."""

    def pages(self) -> Sequence[ManualPage]: ...

    def page(self, topic: str) -> ManualPage:
        """Return one page. Raises SettingsError for a topic that is none, with what may be meant."""


def topic_of(link: str) -> str:
    """Return the topic that a link of a page leads to, "" where it leads out of the manual or nowhere else.

    `settings.md`, `database.md#the-url`, `../../../crypto_core/SECURITY.md`.
    """
    path = link.partition("#")[0]
    return path.rpartition("/")[2].removesuffix(".md").lower() if path.endswith(".md") else ""
