"""A further version of the envelope needs its module, its record and its line in VERSIONS, and no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from console.container import Container
from console.sandbox.world import World
from tests.console.command_types import Stored
from tests.left_out import needs
from tests.packages.test_left_out import Copy

MODULE = """
from dataclasses import dataclass
from typing import ClassVar
from crypto_core.envelope.formats import Format
from crypto_core.envelope.v2 import EnvelopeV2Bound

@dataclass(frozen=True, slots=True)
class EnvelopeV3(EnvelopeV2Bound):
    format: ClassVar[Format] = Format.V3
"""
RECORD = '    Format.V3: _Promises("v3", names_key=True, binds_row=True, binds_database=True),\n}\n\n_SHORT'
EDITS = (
    ("formats", "    DEV =", '    V3 = "v3"\n    DEV ='),
    ("formats", "}\n\n_SHORT", RECORD),
    ("__init__", "\nVERSIONS:", "\nfrom crypto_core.envelope.v3 import EnvelopeV3\nVERSIONS:"),
    ("__init__", "EnvelopeV2Bound)}", "EnvelopeV2Bound, EnvelopeV3)}"),
)
WRITING = {"KEYDECK_WRITE_FORMAT": "v3", "KEYDECK_BINDING": "prod"}
USES = """
from crypto_core.compliance import algorithm_uses, facts
from crypto_core.envelope import Format
print(*(one.name for one in algorithm_uses.uses_of_tokens(facts.TokenFacts(0, 0, {}), Format.V3)))
"""
OPEN = "import sys; from crypto_core import decrypt_token; print(decrypt_token(*sys.argv[1:]), end='')"


@pytest.fixture
def further(tmp_path: Path) -> Copy:
    """A copy of the tree with a format v3, sealed as v2-bound is."""
    copy = Copy(tmp_path, ())
    envelope = tmp_path / "crypto_core" / "envelope"
    (envelope / "v3.py").write_text(MODULE)
    for name, before, after in EDITS:
        text = (envelope / f"{name}.py").read_text()
        assert text.count(before) == 1
        (envelope / f"{name}.py").write_text(text.replace(before, after))
    return copy


@pytest.mark.deep
def test_a_further_format_is_written_read_counted_and_never_given_up_unasked(
    further: Copy, services: Container, world: World, stored: Stored
) -> None:
    def keydeck(*arguments: str, code: int = 0, **more: str) -> Any:
        ran = further.python("-m", "console", *arguments, environment=WRITING | more)
        assert ran.returncode == code, ran.stderr
        return json.loads(ran.stdout) if "--json" in arguments else ran.stdout + ran.stderr

    def opened(number: int, name: str, **more: str) -> str:
        environment = WRITING | more
        ran = further.python("-c", OPEN, stored(refs[number]), name, environment=environment)
        return ran.stdout or ran.stderr

    refs = world.sealed_under(world.old_key)[:2]
    first, second = map(str, refs)
    changing = ("reencrypt", first, second, "--to", world.current_key.arn, "--yes")
    unnamed = keydeck("settings", code=2, KEYDECK_BINDING="")
    assert "v3 envelopes name their database, which has no binding" in unnamed
    unknown = keydeck("settings", code=2, KEYDECK_LEAST_FORMAT="v4")
    assert "The format is none of v1, v2, v2-bound, v3." in unknown

    assert 'New envelopes are v3, bound to database "prod"' in keydeck(*changing)
    assert keydeck("status", "--json")["by_format"]["v3"] == 2
    assert keydeck("connections", "--filter", "format:v3", "--json")["total"] == 2
    assert keydeck("inspect", first, "--json")["format"] == "v3"
    refused = keydeck("rewrap", first, "--to", world.old_key.arn, "--yes", code=1)
    assert "a v3 envelope is bound to the key" in refused

    # Whoever writes an older format keeps the later one, unless it is given up in so many words.
    keydeck(*changing, KEYDECK_WRITE_FORMAT="v1")
    assert {stored(ref)[:4] for ref in refs} == {"djN8"}
    assert [opened(0, first), opened(1, second)] == [*map(world.token_for, refs)]
    assert 'or another database than "prod"' in opened(0, second)
    keydeck(*changing, "--allow-downgrade", KEYDECK_WRITE_FORMAT="v1")
    assert "v1 envelope where v3 is demanded" in opened(0, first, KEYDECK_LEAST_FORMAT="v3")
    assert "djN8" in keydeck("guard", "--sql", "--all", "--least", "v3")


@needs("evidence")
@pytest.mark.deep
def test_a_further_format_is_in_every_table_and_its_algorithms_are_known(further: Copy) -> None:
    assert further.python("-c", USES).stdout.split() == ["AES-256-GCM", "HKDF-SHA-512"]
    told = further.python("-m", "pytest", "-q", "-n0", "tests/test_enum_tables.py", "-k", "says_why_not")
    assert told.returncode == 0, told.stdout[-3000:]
