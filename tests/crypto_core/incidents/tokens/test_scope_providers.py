"""Whose tokens are in scope, and the lines of a runbook that are about them alone."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core.incidents.model import IncidentScope
from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.incidents.runbooks.runbook_toml import read_runbook
from crypto_core.incidents.tokens.scope_providers import ScopeProviders
from crypto_core.values.errors import RunbookError

TEAM = """
id = "partner"
version = 1
title = "T"
subject = "tokens"
summary = "S."
[[phase]]
kind = "contain"
title = "Contain"
[[phase.step]]
id = "talk"
title = "Talk"
purpose = "To learn."
do = ["All {incident}.", {text = "GitHub {incident}.", providers = ["github"]},
      {text = "Atlassian.", providers = ["jira", "confluence"]}]
"""


def refs(world: World, table: str) -> tuple[str, ...]:
    return tuple(str(r) for r in world.sealed_under(world.current_key) if r.table == table)[:2]


def test_the_providers_are_those_of_the_rows_in_scope(
    services: Container, world: World, platform: Engine
) -> None:
    providers = ScopeProviders(services.inventory, services.catalogue)
    github, jira = refs(world, "gh_connection"), refs(world, "jira_connection")
    assert providers(IncidentScope(references=github)) == ("github",)
    assert providers(IncidentScope(references=(*github, *jira))) == ("github", "jira")
    assert providers(IncidentScope(filter="provider:slack")) == ("slack",)
    assert providers(IncidentScope(filter="provider:nothing")) == ()
    # Which tokens a key's filter means is not known yet, and neither is what is in a row of any provider.
    assert providers(IncidentScope(filter=f'key:"{world.current_key.arn}"')) == ()
    with platform.begin() as connection:
        rows = connection.execute(
            text(
                "INSERT INTO connectors (user_id, provider, name, secret_json, created_at) VALUES"
                """ ('u', 'GitHub', 'n', '{"a": "x"}', now()),"""
                """ ('u', E'[/red]\\x1b', 'n', '{"a": "x"}', now())"""
                " RETURNING id"
            )
        ).scalars()
        named, hostile = (f"connectors.secret_json:{row}" for row in rows)
        mcp = connection.execute(
            text(
                "INSERT INTO mcp_servers (name, url, user_id, auth_type, org_id, secret_json, created_at)"
                """ VALUES ('n', 'u', 'u', 'a', 'o', '{"a": "x"}', now()) RETURNING id"""
            )
        ).scalar_one()
        connection.execute(
            text("UPDATE jira_connection SET access_token = 'ghp_astray' WHERE id = :id"),
            {"id": jira[0].rpartition(":")[2]},
        )
    assert providers(IncidentScope(references=(named, *refs(world, "gh_connection")))) == ("github",)
    assert providers(IncidentScope(references=(hostile,))) == ("[/red]",)
    assert providers(IncidentScope(references=(f"mcp_servers.secret_json:{mcp}", *github))) == ()
    assert (
        providers(IncidentScope(references=(f"jira_connection.access_token:{jira[0].rpartition(':')[2]}",)))
        == ()
    )
    assert providers(IncidentScope(references=("nowhere.x:1",))) == ()


def test_lines_about_a_provider_stand_only_where_it_is_in_scope_or_none_is_known() -> None:
    (step,) = read_runbook(TEAM).steps
    assert step.lines_for(("github",)) == ("All {incident}.", "GitHub {incident}.")
    assert step.lines_for(("confluence",)) == ("All {incident}.", "Atlassian.")
    assert step.lines_for(("zoom",)) == ("All {incident}.",)
    assert step.lines_for(()) == step.do
    assert (step.left_out(("github",)), step.left_out(())) == (("jira", "confluence"), ())
    plain = read_runbook(
        TEAM.replace("{text = ", "")
        .replace(', providers = ["github"]}', "")
        .replace(', providers = ["jira", "confluence"]}', "")
    )
    assert plain.steps[0].lines_for(("slack",)) == plain.steps[0].do == step.do
    assert plain.steps[0].left_out(("slack",)) == ()


def test_the_built_in_runbook_names_only_providers_in_scope() -> None:
    for mine, others in (
        ("github", ("Jira", "Slack", "Atlassian", "Confluence")),
        ("slack", ("Jira", "GitHub", "Atlassian", "Confluence")),
        ("jira", ("GitHub", "Slack")),
    ):
        for step in RunbookLibrary().get("token-compromise").steps:
            said = "\n".join(step.lines_for((mine,)))
            assert not [name for name in others if name in said], (mine, step.id)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{text = "x"}', "providers is missing"),
        ('{providers = ["github"]}', "text is missing"),
        ('{text = "x", providers = []}', "providers is missing"),
        ('{text = "x", providers = ["[/red]"]}', "small letters"),
        ('{text = "x", providers = "github"}', "is not a list"),
        ('{text = "x", providers = ["github"], when = 1}', "is not known here"),
        ('{text = "{nothing}", providers = ["github"]}', "which is none of"),
        ("3", "is not a table"),
    ],
)
def test_a_line_that_is_none_is_refused(line: str, fault: str) -> None:
    with pytest.raises(RunbookError, match=fault.replace("[", r"\[")):
        read_runbook(TEAM.replace('"All {incident}."', line))
