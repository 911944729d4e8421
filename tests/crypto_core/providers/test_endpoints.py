"""A row of the database can't pull a token to a host that is not its provider's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.envelope import Format
from crypto_core.lists.coverage import Evidence
from crypto_core.providers.answers import ByHand
from crypto_core.providers.builtin.atlassian import atlassian_site
from crypto_core.providers.endpoints import Endpoints, base_url
from crypto_core.providers.messages import Target
from crypto_core.providers.registry import own_providers, provider_of, provider_of_row
from crypto_core.providers.token_dispatch import hosts, target_of
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import ProviderError, RefusedError, SettingsError
from crypto_core.values.references import TokenRef

BY_CLOUD_ID = "https://api.atlassian.com/ex/jira/11223344-a1b2-3b33-c444-def123456789"
ELSEWHERE = [
    "",
    "http://team.atlassian.net",
    "https://evil.example",
    "https://team.atlassian.net.evil.example",
    "https://evil.example/.atlassian.net",
    "https://evil.example#.atlassian.net",
    "https://evil.example?.atlassian.net",
    "https://evil.example\\.atlassian.net",
    "https://team.atlassian.net@evil.example",
    "https://evil.example:443@team.atlassian.net",
    "https://team.atlassian.net:8443",
    "https://team.atlassian.net:x",
    "https://evil-atlassian.net",
    "https://atlassian.net",
    "https://a.b.atlassian.net",
    "https://team.atlassian.net\r\nHost: evil.example",
    "https://te\u0430m.atlassian.net",
    "https://\u202eteam.atlassian.net",
    "//team.atlassian.net",
    "team.atlassian.net",
    "file:///etc/passwd",
    "https://[::1]/",
    "https://[team.atlassian.net",
    "https://127.0.0.1",
    "https://api.atlassian.com",
    "https://api.atlassian.com/ex/jira/../../oauth",
    "https://" + "a" * 300 + ".atlassian.net",
    "x" * 10_000,
    "[/red]\x1b]0;owned\x07",
]


def row(table: str, provider: str, **shown: str) -> InventoryRow:
    ref, named = TokenRef(table, "access_token", "1"), tuple(shown.items())
    of_key = (None, None, Evidence.UNKNOWN, None)
    return InventoryRow(ref, provider, clean("org"), Format.V1, None, 9, *of_key, named)


@pytest.mark.parametrize("named", ELSEWHERE)
def test_a_row_that_names_another_host_is_refused_and_says_why(named: str) -> None:
    with pytest.raises(RefusedError) as refused:
        atlassian_site(named)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 250
    found = target_of(row("confluence_connection", "confluence", base_url=named, email="a@b.c"), Endpoints())
    assert isinstance(found, ByHand)


@pytest.mark.parametrize(
    ("named", "base"),
    [
        ("https://team.atlassian.net", "https://team.atlassian.net"),
        ("https://TEAM.atlassian.net/wiki/", "https://team.atlassian.net"),
        ("https://team.jira.com:443/browse/X-1?a=b", "https://team.jira.com"),
        (BY_CLOUD_ID, BY_CLOUD_ID),
        (BY_CLOUD_ID + "/../../../evil", BY_CLOUD_ID),
    ],
)
def test_of_a_row_only_the_sites_name_is_taken(named: str, base: str) -> None:
    assert atlassian_site(named) == base


def test_a_configured_url_goes_before_whatever_rows_name() -> None:
    proxied = Endpoints({"atlassian": "https://proxy.example/a"})
    site = row("confluence_connection", "confluence", base_url="https://team.atlassian.net", email="a@b.c")
    evil = row("confluence_connection", "confluence", base_url="https://evil.example", email="a@b.c")
    targets = [target_of(site, proxied), target_of(evil, proxied)]
    assert [t.forwarded for t in targets if isinstance(t, Target)] == ["team.atlassian.net", ""]
    assert hosts([t for t in targets if isinstance(t, Target)]) == ("proxy.example",)


def test_no_row_moves_github_slack_or_an_oauth_token() -> None:
    evil = {"base_url": "https://evil.example", "cloud_base_url": "https://evil.example"}
    found = [target_of(row("t", name, **evil), Endpoints()) for name in ("github", "slack", "jira")]
    told = hosts([target for target in found if isinstance(target, Target)])
    assert told == ("api.atlassian.com", "api.github.com", "slack.com")


def test_a_site_or_an_address_that_only_cleaning_makes_one_is_not_asked() -> None:
    shown = {"base_url": "https://evil.atlassian.net", "email": "a@b.c"}
    for column in shown:
        altered = replace(row("confluence_connection", "confluence", **shown), altered=frozenset({column}))
        assert isinstance(target_of(altered, Endpoints()), ByHand), column
    altered = replace(altered, altered=frozenset({"base_url"}))
    proxied = target_of(altered, Endpoints({"atlassian": "https://proxy.example/a"}))
    assert isinstance(proxied, Target)
    assert proxied.forwarded == ""


def test_an_unknown_provider_and_a_broken_email_address_are_not_asked() -> None:
    assert isinstance(target_of(row("t", "gitlab"), Endpoints()), ByHand)
    site = "https://team.atlassian.net"
    for email in ("a:b@c.d", "no address", "a@b\x1b[31m", "@"):
        assert isinstance(target_of(row("t", "jira", base_url=site, email=email), Endpoints()), ByHand)


@pytest.mark.parametrize(
    "url", ["https://ghe.example/api/v3/", "http://127.0.0.1:8/x", "http://[::1]:9", "http://localhost"]
)
def test_base_urls_of_the_settings_are_https_or_on_this_machine(url: str) -> None:
    assert base_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://ghe.example",
        "http://127.0.0.1.evil.example",
        "https://u:p@x.example",
        "https://x/?a",
        "ftp://x",
        "x",
        "https://",
    ],
)
def test_other_base_urls_are_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        base_url(url)


def test_a_provider_that_is_in_no_register_is_an_error_and_not_another_one() -> None:
    forgotten = Target(TokenRef("t", "token", "1"), "gitlab\x1b[31m", "https://gitlab.com")
    with pytest.raises(ProviderError, match=r"knows no provider 'gitlab\[31m'"):
        provider_of(forgotten)


def test_every_provider_is_found_by_its_names_in_any_case() -> None:
    for provider in own_providers().values():
        for name in (provider.name, *provider.other_names):
            assert provider_of_row(name.upper()) is provider
            assert isinstance(target_of(row("t", name), Endpoints()), Target | ByHand)
    assert provider_of_row("gitlab") is None
