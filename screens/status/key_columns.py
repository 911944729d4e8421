"""Where the columns of the table of keys stand, and its rows drawn in them."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content

from screens.widgets.cells import bar, cut, fit


class KeyColumns:
    """The columns at one width; `whole` is what a full bar stands for."""

    def __init__(self, width: int, whole: int) -> None:
        self.brief = width < 100
        self._whole = whole
        self._tokens = 8 if self.brief else 10
        self._bar = 5 if self.brief else 12
        self._state = 14 if self.brief else 17
        self._used = 0 if width < 90 else 11
        self._evidence = 20 if self.brief else 22
        self._name = width - self._tokens - 2 - self._bar - 2 - self._state - self._used - self._evidence

    def heading(self) -> Content:
        """The headings."""
        text = (
            fit("by key and material", self._name)
            + fit("tokens", self._tokens, right=True)
            + "  "
            + fit("share", self._bar + 2)
            + fit("state", self._state)
            + fit("last used", self._used)
            + fit("evidence", self._evidence)
        )
        return Content.assemble((text, "$muted"))

    def key(
        self,
        name: str,
        tokens: int,
        state: tuple[str, str],
        used: str,
        evidence: tuple[str, str],
        mark: str = "",
    ) -> Content:
        """A key's row. State and evidence are (text, style); a mark stands behind the name."""
        room = self._name - (cell_len(mark) + 2 if mark else 0)
        whole = fit(name, room) if cell_len(name) > room else name
        return Content.assemble(
            (whole, "bold"),
            (fit(f"  {mark}", self._name - cell_len(whole)), "$accent"),
            *self._share(tokens, "$accent"),
            (fit(state[0], self._state - 1) + " ", state[1]),
            (fit(used, self._used), "$muted"),
            (cut(evidence[0], self._evidence), evidence[1]),
        )

    def material(self, name: str, tokens: int, evidence: tuple[str, str], *, last: bool) -> Content:
        """A material's row below its key."""
        return Content.assemble(
            ("└ " if last else "├ ", "$muted"),
            fit(name, self._name - 2),
            *self._share(tokens, "$accent 55%"),
            " " * (self._state + self._used),
            (cut(evidence[0], self._evidence), evidence[1]),
        )

    def _share(self, tokens: int, style: str) -> tuple[str | tuple[str, str], ...]:
        share = tokens / self._whole if self._whole else 0
        return fit(f"{tokens:,}", self._tokens, right=True), "  ", (bar(share, self._bar), style), "  "
