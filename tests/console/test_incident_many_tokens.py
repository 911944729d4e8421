"""keydeck incident next: many new tokens from a file, without a terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.world import World
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.values.references import TokenRef
from tests.console.test_incident_command import runbooks
from tests.console.test_incident_scope import everything_stored

Keydeck = Callable[..., Any]
__all__ = ["runbooks"]


@pytest.mark.deep
def test_a_file_of_new_tokens_is_entered_and_leaves_no_trace_of_them(
    services: Container,
    world: World,
    keydeck: Keydeck,
    runbooks: Path,
    tmp_path: Path,
    superuser: Engine,
    stored: Callable[[TokenRef], str],
) -> None:
    found = world.sealed_under(world.current_key)
    all_refs = [r for r in found if (r.table, r.column) == ("gh_connection", "access_token")]
    refs, new = all_refs[:2], [world.token_for(ref) for ref in all_refs[2:4]]
    tokens = (option for ref in refs for option in ("--token", str(ref)))
    assert keydeck("incident", "start", "partner", *tokens).exit_code == 0
    path = tmp_path / "new.csv"
    path.write_text("".join(f"{ref},{token}\n" for ref, token in zip(refs, new, strict=True)))
    path.chmod(0o644)
    entering = ("incident", "next", "1", "--step", "enter", "--set", f"file={path}")
    unchecked = ("--set", "although_unchecked=yes", "--yes")
    refused = keydeck(*entering, *unchecked)
    assert (refused.exit_code, "chmod 600" in refused.stderr) == (2, True)
    path.chmod(0o600)
    shown = keydeck(*entering, "--dry-run", "--json")
    assert [line[:7] for line in shown.json["does"][:2]] == ["Line 1:", "Line 2:"]
    mixed = keydeck(*entering, "--set", f"reference={refs[0]}", *unchecked)
    assert (mixed.exit_code, "no input 'reference'" in mixed.stderr) == (2, True)
    done = keydeck(*entering, *unchecked)
    assert done.exit_code == 0, done.stderr
    assert "2 of 2 lines written." in done.stderr
    assert "delete it" in done.stderr
    cipher = TokenCipher(services.keyring)
    assert [cipher.open(stored(ref), ref=ref).token.reveal() for ref in refs] == new
    report = keydeck("incident", "report", "1").stdout
    told = "\n".join(
        (everything_stored(superuser), refused.stderr, shown.stdout, done.stdout, done.stderr, report)
    )
    assert not [token for token in new if token in told]
