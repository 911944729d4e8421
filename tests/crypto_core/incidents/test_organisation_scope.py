"""The tokens of one organisation: which there are, and the filter that lets these through and no others."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, event

from console.container import Container
from crypto_core.database.tokens.token_groups import GroupBy
from crypto_core.incidents.model import IncidentScope
from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.incidents.scope_check import checked_scope, organisation_filter
from crypto_core.values.errors import RefusedError
from tests.platform_rows import connect_github

HOSTILE = ('[/red]\x1b[2J"x"', "a, b", "a*", "acme\u202egro", 'quo"te', "-org:x")


def test_organisations_are_listed_with_most_tokens_first_and_each_leads_to_its_tokens(
    services: Container, platform: Engine
) -> None:
    for number, name in enumerate((*HOSTILE, "busy", "o" * 10_000)):
        for row in range(400 if name == "busy" else 1):
            connect_github(platform, f"org-{number}-{row}", "ghp_x", name)
    listed = services.inventory.groups(GroupBy.ORGANISATION).rows
    assert (listed[0].value, listed[0].tokens) == ("busy", 400)
    assert {one.value for one in listed} >= {*HOSTILE}
    assert [one.tokens for one in listed] == sorted((one.tokens for one in listed), reverse=True)
    assert all(letter.isprintable() for one in listed for letter in one.shown)
    assert len(services.inventory.groups(GroupBy.ORGANISATION, most=3).rows) == 3
    read: list[str] = []
    event.listen(services.engine, "before_cursor_execute", lambda *told: read.append(told[2]))
    named = [one for one in services.inventory.groups(GroupBy.ORGANISATION, named=True).rows if one.value]
    assert named == [one for one in listed if one.value]
    assert any("gh_connection" in one for one in read)
    assert not any("connectors" in one for one in read)
    runbook = RunbookLibrary().get("token-compromise")
    for number, name in enumerate(HOSTILE):
        expression = organisation_filter(services.inventory, name)
        found = [ref.row_id for page in services.inventory.references(expression) for ref in page]
        assert found == [f"org-{number}-0"]
        assert checked_scope(runbook, IncidentScope(filter=expression)).filter == expression


def test_an_organisation_without_tokens_or_with_an_endless_name_is_refused(services: Container) -> None:
    for name in ("", "nobody", "x" * 10_000_000, "[/red]\x1b[2J"):
        with pytest.raises(RefusedError) as refused:
            organisation_filter(services.inventory, name)
        assert refused.value.message.isprintable()
        assert len(refused.value.message) < 300
