"""Signs in plain letters, for terminals and files whose encoding has no signs."""

from __future__ import annotations

import codecs
import io
import sys

_PLAIN = {
    **dict.fromkeys("●•✔", "*"),
    **dict.fromkeys("○◦", "o"),
    **dict.fromkeys("·–—", "-"),
    **dict.fromkeys("→▶»", ">"),
    **dict.fromkeys("“”", '"'),
    **dict.fromkeys("‘’", "'"),
    "▲": "!",
    "✖": "x",
    "×": "x",
    "…": ".",
}
"""One letter for each, so that columns stay aligned."""
_NAME = "keydeck.plain"


def plain_signs(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that an encoding lacks: a codec's error handler."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in missing), error.end


def write_plain_where_needed() -> None:
    """Have stdout and stderr write a plain letter for each sign that their encoding lacks."""
    codecs.register_error(_NAME, plain_signs)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            stream.reconfigure(errors=_NAME)
