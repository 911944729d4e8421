"""Entries of the setting `tables` as TOML, to be copied into the settings file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from crypto_core.text.cleaning import clean


def table_entry(entry: Mapping[str, Any]) -> str:
    """Return an entry as TOML, ASCII only: what it holds acts on no terminal."""
    return "\n".join(("[[tables]]", *(f"{name} = {_value(value)}" for name, value in entry.items())))


def is_printable(entry: Mapping[str, Any]) -> bool:
    """True if the entry reads as it is, so that a person can check it before it is used."""
    values = (value if isinstance(value, list) else [value] for value in entry.values())
    return all(clean(text) == text for texts in values for text in texts)


def _value(value: str | list[str]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return "".join(_escaped(character) for character in json.dumps(value, ensure_ascii=False))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return character
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
