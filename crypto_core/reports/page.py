"""A whole document as its forms need it: what stands at its head, and its sections."""

from __future__ import annotations

from dataclasses import dataclass

from crypto_core.reports.cells import ShownSection


@dataclass(frozen=True, slots=True)
class Named:
    """A value by its name, such as a figure of the summary or what a step has found out."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A document. `kind` is what it is, such as an incident report; `state` the sentence under the title."""

    kind: str
    name: str
    title: str
    state: str
    figures: tuple[Named, ...]
    sections: tuple[ShownSection, ...]
    draft: bool = False
    """Whether it is not final, which the page shows."""
