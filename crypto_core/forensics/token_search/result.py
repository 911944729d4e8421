"""What came of a search: which rows hold the tokens, which tokens none holds, what was not looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from crypto_core.lists.coverage import Coverage
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.counts import counted, listed
from crypto_core.values.json_records import JsonRecord, made, shape
from crypto_core.values.references import TokenRef

_NAMED = 20


@dataclass(frozen=True, slots=True)
@cleans(reason=300)
class UnopenedToken(JsonRecord):
    """A stored value that could not be compared with what was looked for, and why."""

    ref: TokenRef
    reason: str

    json_shape = shape("reference=ref reason")


@dataclass(frozen=True, slots=True)
@cleans(place=100, mask=100)
class AskedToken:
    """What an answer calls a token that was looked for: where it was read, and what is shown of it."""

    place: str
    mask: str
    lines: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class OldValue(JsonRecord):
    """An envelope that Keydeck had replaced and keeps, and that holds the token: its row did until then."""

    ref: TokenRef
    replaced_at: datetime

    json_shape = shape("reference=ref replaced_at")


@dataclass(frozen=True, slots=True)
class DecoyRow(JsonRecord):
    """A decoy that holds the token, by the list of tripwires: whoever has the token got it from there."""

    ref: TokenRef
    tripwire: int

    json_shape = shape("reference=ref tripwire")


@dataclass(frozen=True, slots=True)
class SearchedToken(JsonRecord):
    """A token that was looked for: its lines, its kind, and what holds it or held it."""

    lines: tuple[int, ...]
    kind: str
    found: tuple[TokenRef, ...]
    decoys: tuple[DecoyRow, ...]
    earlier: tuple[OldValue, ...]

    json_shape = shape("line ...", line=made(int, lambda token: token.lines[0]))


@dataclass(frozen=True, slots=True)
@cleans(searched=300, left_out=300, gaps=1_000, unread=300)
class TokenSearchResult(JsonRecord):
    """Rows by the number of a wanted token; no row for one that was not found. It holds no token.

    `looked_at` are the stored tokens that were compared, `unopened` those that could not be, of which
    `examples` are some. `searched` and `left_out` are columns. `gaps` say what else may hold tokens, unseen.
    `asked` names the tokens by number, `old` has the replaced envelopes that hold one. `other_length` are the
    envelopes that were not opened as their token has another length; `by_index` those that were not for that,
    or as the index of tokens knows what they hold. `decoys` hold a token that is no connection's. `unread`
    says what of the text may hold further tokens, "" for nothing.
    """

    rows: Mapping[int, tuple[TokenRef, ...]]
    looked_at: int
    unopened: int
    examples: tuple[UnopenedToken, ...]
    searched: tuple[str, ...]
    left_out: tuple[str, ...]
    gaps: tuple[str, ...]
    asked: Mapping[int, AskedToken] = field(default_factory=dict)
    old: Mapping[int, tuple[OldValue, ...]] = field(default_factory=dict)
    other_length: int = 0
    by_index: int = 0
    decoys: Mapping[int, tuple[DecoyRow, ...]] = field(default_factory=dict)
    unread: str = ""

    json_shape = shape(
        "tokens compared=looked_at not_opened=unopened other_length by_index not_opened_examples=examples "
        "columns=searched columns_left_out=left_out gaps certain coverage"
    )

    @property
    def tokens(self) -> tuple[SearchedToken, ...]:
        """Each wanted token with what was found of it, as a document has it."""
        return tuple(
            SearchedToken(
                self._lines_of(number),
                self.asked[number].mask if number in self.asked else "",
                refs,
                self.decoys.get(number, ()),
                self.old.get(number, ()),
            )
            for number, refs in sorted(self.rows.items())
        )

    @property
    def references(self) -> tuple[TokenRef, ...]:
        """Every row that holds one of the tokens, in order, each once."""
        return tuple(sorted({ref for refs in self.rows.values() for ref in refs}))

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the tokens that were not found, in a decoy neither."""
        return tuple(
            number for number, refs in sorted(self.rows.items()) if not (refs or self.decoys.get(number))
        )

    @property
    def whole(self) -> bool:
        """True if every token was found, and everything that may hold one was compared."""
        return not (self.missing or self.unopened or self.gaps or self.unread)

    @property
    def certain(self) -> bool:
        """True if every token was found, or else everything that may hold one was compared.

        Of a text that may hold further tokens nothing is certain.
        """
        return not (self.unread or (self.missing and (self.unopened or self.gaps)))

    @property
    def coverage(self) -> Coverage:
        """What may hold one of the tokens and was not compared with them."""
        reasons = [*self.gaps, *filter(None, (self.unread,))]
        if self.unopened:
            some = listed([str(one.ref) for one in self.examples], _NAMED)
            unopened = counted(self.unopened, "stored token")
            reasons.insert(0, f"{unopened} could not be opened, and may hold a token: {some}")
        if self.left_out:
            columns = listed(self.left_out, _NAMED)
            reasons.append(f"Not looked at, as the tokens there are other providers': {columns}")
        return Coverage(tuple(reasons))

    @property
    def shared(self) -> tuple[int, ...]:
        """The numbers of the tokens that more than one row holds."""
        return tuple(number for number, refs in sorted(self.rows.items()) if len(refs) > 1)

    @property
    def summary(self) -> str:
        """How they were found, in one line, as an incident keeps it."""
        found = len(self.rows) - len(self.missing)
        return f"{found:,} of {counted(len(self.rows), 'token')} found; {self._extent}"

    @property
    def lines(self) -> tuple[str, ...]:
        """What was found, token by token, and what that leaves open. Cleaned text without any token."""
        return tuple(clean(line, 4_000) for line in self._lines())

    @property
    def _extent(self) -> str:
        compared = f"{counted(self.looked_at, 'stored token')} compared"
        return f"{compared}, {self.unopened:,} could not be opened" if self.unopened else compared

    def _lines_of(self, number: int) -> tuple[int, ...]:
        asked = self.asked.get(number)
        return (asked.lines if asked is not None else ()) or (number,)

    def name_of(self, number: int) -> str:
        """Return what a token is called: by where it was read, where there are several."""
        if len(self.rows) == 1:
            return "The token"
        asked = self.asked.get(number)
        return f"{asked.place} ({asked.mask})" if asked is not None else f"Line {number}"

    @property
    def _nowhere(self) -> str:
        if self.unopened or self.gaps:
            return "held by no row that could be looked at. That is no proof: see below."
        return "held by no row."

    def _short_name(self, number: int) -> str:
        asked = self.asked.get(number)
        return (asked.place if asked is not None else f"Line {number}").lower()

    def _lines(self) -> Iterator[str]:
        named, more = frozenset(self.missing[:_NAMED]), self.missing[_NAMED:]
        for number, refs in sorted(self.rows.items()):
            name = self.name_of(number)
            if refs:
                names = listed([str(ref) for ref in refs], _NAMED)
                same = ", which share it" if len(refs) > 1 else ""
                yield f"{name}: held by {counted(len(refs), 'row')}{same}: {names}"
            elif number in named:
                yield f"{name}: {self._nowhere}"
            for decoy in self.decoys.get(number, ()):
                whose = f"the decoy {decoy.ref} of tripwire {decoy.tripwire} holds it"
                yield f"{name}: {whose}, no connection uses it: somebody has opened it, see keydeck findings."
            if earlier := self.old.get(number):
                yield f"  held earlier by {_earlier(earlier)}: envelopes that Keydeck replaced and keeps."
        if more:
            names = listed([self._short_name(number) for number in more], _NAMED)
            yield f"{counted(len(more), 'more token')} ({names}): {self._nowhere}"
        if self.searched:
            yield f"{self._extent[0].upper()}{self._extent[1:]}, in {listed(self.searched, _NAMED)}."
        if self.unopened:
            may = "it may be one of these" if self.missing else "they may hold it too"
            yield f"{counted(self.unopened, 'stored token')} could not be opened: {may}."
            for one in self.examples[:3]:
                yield f"  {one.ref}: {one.reason}"
        if self.left_out:
            yield f"Not looked at, as the tokens there are other providers': {listed(self.left_out, _NAMED)}."
        if self.other_length:
            others = counted(self.other_length, "envelope")
            yield f"{others} not opened: the token there has another length, by its ciphertext."
        if self.by_index:
            known = counted(self.by_index, "envelope")
            yield f"{known} not opened: the index knows their tokens, or the token there has another length."
        yield from self.gaps
        if self.unread:
            yield self.unread


def _earlier(values: tuple[OldValue, ...]) -> str:
    return listed([f"{one.ref} until {one.replaced_at:%Y-%m-%d %H:%M} UTC" for one in values], _NAMED)
