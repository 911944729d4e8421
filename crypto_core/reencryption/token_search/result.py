"""What came of a search: which rows hold the tokens, which tokens none holds, what was not looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crypto_core.references import TokenRef
from crypto_core.text.cleaning import clean, cleans
from crypto_core.text.counting import counted, listed

_NAMED = 20


@dataclass(frozen=True, slots=True)
@cleans(reason=300)
class UnopenedToken:
    """A stored value that could not be compared with what was looked for, and why."""

    ref: TokenRef
    reason: str


@dataclass(frozen=True, slots=True)
@cleans(searched=300, left_out=300, gaps=1_000)
class TokenSearchResult:
    """Rows by the number of a wanted token; no row for one that was not found. It holds no token.

    `looked_at` are the stored tokens that were compared, `unopened` those that could not be, of which
    `examples` are some. `searched` and `left_out` are columns. `gaps` say what else may hold tokens, unseen.
    """

    rows: Mapping[int, tuple[TokenRef, ...]]
    looked_at: int
    unopened: int
    examples: tuple[UnopenedToken, ...]
    searched: tuple[str, ...]
    left_out: tuple[str, ...]
    gaps: tuple[str, ...]

    @property
    def references(self) -> tuple[TokenRef, ...]:
        """Every row that holds one of the tokens, in order, each once."""
        return tuple(sorted({ref for refs in self.rows.values() for ref in refs}))

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the tokens that were not found."""
        return tuple(number for number, refs in sorted(self.rows.items()) if not refs)

    @property
    def whole(self) -> bool:
        """True if every token was found, and everything that may hold one was compared."""
        return not (self.missing or self.unopened or self.gaps)

    @property
    def summary(self) -> str:
        """How they were found, in one line, as an incident keeps it."""
        found = len(self.rows) - len(self.missing)
        return f"{found:,} of {counted(len(self.rows), 'token')} found; {self._extent}"

    @property
    def lines(self) -> tuple[str, ...]:
        """What was found, token by token, and what that leaves open. Cleaned text without any token."""
        return tuple(clean(line, 4_000) for line in self._lines())

    def as_json(self) -> dict[str, Any]:
        """The search as a JSON document's part."""
        return {
            "tokens": [
                {"line": number, "found": [str(ref) for ref in refs]}
                for number, refs in sorted(self.rows.items())
            ],
            "compared": self.looked_at,
            "not_opened": self.unopened,
            "not_opened_examples": [
                {"reference": str(one.ref), "reason": one.reason} for one in self.examples
            ],
            "columns": list(self.searched),
            "columns_left_out": list(self.left_out),
            "gaps": list(self.gaps),
        }

    @property
    def _extent(self) -> str:
        compared = f"{counted(self.looked_at, 'stored token')} compared"
        return f"{compared}, {self.unopened:,} could not be opened" if self.unopened else compared

    def _lines(self) -> Iterator[str]:
        for number, refs in sorted(self.rows.items()):
            name = f"Line {number}" if len(self.rows) > 1 else "The token"
            if refs:
                names = listed([str(ref) for ref in refs], _NAMED)
                yield f"{name}: held by {counted(len(refs), 'row')}: {names}"
            elif self.unopened or self.gaps:
                yield f"{name}: held by no row that could be looked at. That is no proof: see below."
            else:
                yield f"{name}: held by no row."
        yield f"{self._extent[0].upper()}{self._extent[1:]}, in {listed(self.searched, _NAMED)}."
        if self.unopened:
            may = "it may be one of these" if self.missing else "they may hold it too"
            yield f"{counted(self.unopened, 'stored token')} could not be opened: {may}."
            for one in self.examples[:3]:
                yield f"  {one.ref}: {one.reason}"
        if self.left_out:
            yield f"Not looked at, as the tokens there are other providers': {listed(self.left_out, _NAMED)}."
        yield from self.gaps
