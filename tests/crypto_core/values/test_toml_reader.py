"""TOML from anybody: read, or refused in a sentence, and never for long."""

from __future__ import annotations

import subprocess
import sys

import pytest

from crypto_core.lists.toml_fields import SIZE_LIMIT, read_toml

HOSTILE = {
    "nested": (b"a = " + b"[" * 100_000, "nested too deeply"),
    "nested tables": (b"a = " + b"{a=" * 60_000, "nested too deeply"),
    "digits": (b"a = " + b"9" * 10_000, "not TOML: Exceeds the limit"),
    "key of many parts": (b"a." * 100_000 + b"a = 1", "line 1 has more than 200 dots"),
    "header of many parts": (b"[b]\n[" + b"a." * 100_000 + b"a]", "line 2 has more than 200 dots"),
    "too long": (b"#" * (SIZE_LIMIT + 1), "longer than 256 KiB"),
    "no text": (b'a = "\xff"', "not text in UTF-8"),
    "no TOML": (b"a", "not TOML"),
}

_READ = """
import sys
from crypto_core.lists.toml_fields import read_toml
try:
    read_toml(sys.stdin.buffer.read())
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_hostile_is_refused_with_its_reason(kind: str) -> None:
    content, reason = HOSTILE[kind]
    ran = subprocess.run(
        [sys.executable, "-c", _READ], input=content, capture_output=True, check=True, timeout=120
    )
    assert reason in ran.stdout.decode()


def test_dots_are_no_matter_in_lines_of_their_own() -> None:
    text = "\n".join(f"a{number}.b.c.d = 1.5" for number in range(1_000))
    assert len(read_toml(text.encode())) == 1_000
