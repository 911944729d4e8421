"""Finds envelopes and tokens in a stream of bytes, whatever pieces it comes in.

Two searches go over each block: one for v1, of which a dump of the platform has most, with a literal that
`re` is fastest at; one for everything else, with RE2, whose automaton looks for all of it at once. What
begins in a block and doesn't end in it is looked at again with the next one, so that no edge between pieces
loses or doubles any.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from crypto_core.copies.values import (
    BEFORE,
    HEADS,
    LONGEST_HEAD,
    V1_RUN,
    FoundValue,
    read_run,
    read_value,
)
from crypto_core.envelope import STORED_PREFIXES, Format

_V1 = STORED_PREFIXES[Format.V1].encode()

OnFound = Callable[[FoundValue, int], None]
"""Is told what was found, and at which byte of the stream."""


class ValueScanner:
    """Scans one stream: `feed` with its pieces, then `finish`."""

    def __init__(self, found: OnFound) -> None:
        self._found = found
        self._data = b""
        self._base = 0
        self._from = [0, 0]
        """The byte of the stream from where each of the two searches goes on."""

    def feed(self, piece: bytes) -> None:
        self._data += piece
        self._search(final=False)

    def finish(self) -> None:
        """Look at what is left: the stream ends here."""
        self._search(final=True)
        self._data = b""

    def _search(self, *, final: bool) -> None:
        base = self._base
        for which, search in enumerate((self._runs, self._heads)):
            self._from[which] = base + search(self._from[which] - base, final=final)
        kept = max(min(self._from) - base - BEFORE, 0)
        self._data, self._base = self._data[kept:], base + kept

    def _runs(self, at: int, *, final: bool) -> int:
        """Search v1 from `at` on; return from where on it is to be done again with more bytes."""
        data = self._data
        while (run := V1_RUN.search(data, at)) is not None:
            begins, ends = run.span()
            value = read_run(data, begins, ends, final=final)
            if value is None:
                return begins
            if value.format is not None:
                self._found(value, self._base + begins)
            at = value.end
        return max(at, len(data) - LONGEST_HEAD + 1)

    def _heads(self, at: int, *, final: bool) -> int:
        data, search = self._data, _automaton()
        while (head := search(data, at)) is not None:
            begins = head.start()
            found = data[begins : head.end()]
            value = read_value(data, begins, found if found in HEADS else found.lower(), final=final)
            if value is None:
                return int(begins)
            if value.format is not None:
                self._found(value, self._base + begins)
            at = max(value.end, begins + 1)
        return max(at, len(data) - LONGEST_HEAD + 1)


@cache
def _automaton() -> Any:
    """One automaton for all heads but v1's; in hex, letters may be large."""
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = 64 << 20
    heads = [_pattern(head) for head in HEADS if head != _V1]
    return re2.compile("|".join(heads).encode(), options).search


def _pattern(head: bytes) -> str:
    text = head.decode()
    if not HEADS[head].in_hex:
        return re.escape(text)
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in text)
