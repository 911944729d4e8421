"""Audit logs by the providers' APIs: a frozen window, page by page, resumed where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from console.sandbox.audit_logs import ATLASSIAN_ORG, AUDIT_TOKEN
from console.sandbox.provider_traffic import provider_uses
from console.sandbox.providers_control import ProviderControl
from console.sandbox.sandbox import Sandbox
from crypto_core.forensics.provider_logs.apis import LOG_APIS, require_name
from crypto_core.forensics.provider_logs.importer import LogFiles
from crypto_core.forensics.provider_logs.puller import LATE, LogPull, LogPuller
from crypto_core.forensics.provider_logs.store import PULLED, CoverBook, EventChoice, ProviderLog, missing
from crypto_core.providers.endpoints import Endpoints
from crypto_core.providers.messages import ProviderAnswer
from crypto_core.providers.transport import Clock
from crypto_core.trail.store.database import StoreFile
from crypto_core.values.errors import RefusedError, SettingsError
from crypto_core.values.secret import Secret

ORGANISATIONS = {"github": "all", "slack": "", "atlassian": ATLASSIAN_ORG}


@pytest.fixture
def endpoints(providers: ProviderControl) -> Endpoints:
    urls = providers.settings()
    return Endpoints(urls["KEYDECK_GITHUB_URL"], urls["KEYDECK_SLACK_URL"], urls["KEYDECK_ATLASSIAN_URL"])


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ProviderLog]:
    file = StoreFile(tmp_path / "events.sqlite")
    yield ProviderLog(file)
    file.close()


Pull = Callable[..., LogPull]


@pytest.fixture
def pull(log: ProviderLog, endpoints: Endpoints, sandbox: Sandbox) -> Pull:
    """A pull of the eight days before the sandbox's world was made, without waiting."""
    now = sandbox.world.now.replace(microsecond=0)
    clock = Clock(wait=lambda seconds, cancelled: None, now=lambda: now)

    def run(provider: str, token: str = AUDIT_TOKEN, name: str | None = None, **options: object) -> LogPull:
        puller = LogPuller(log, endpoints, clock=clock)
        named = ORGANISATIONS[provider] if name is None else name
        given = {"since": now - timedelta(days=8), **options}
        return puller.pull(provider, named, Secret.of(token), **given)  # type: ignore[arg-type]

    return run


def test_all_of_a_window_comes_by_pages_and_is_what_the_export_has(
    pull: Pull, log: ProviderLog, sandbox: Sandbox, tmp_path: Path
) -> None:
    now = sandbox.world.now.replace(microsecond=0)
    for provider, name in ORGANISATIONS.items():
        wanted = [use for use in provider_uses(sandbox.world) if use.provider == provider]
        report = pull(provider)
        assert (report.events, report.new, report.damaged) == (len(wanted), len(wanted), 0)
        assert report.finished
        assert report.as_json()["organisation"] == (name or None)
        periods = CoverBook(log.file).periods(provider)
        assert [(one.place, one.origin, one.until) for one in periods] == [(name, PULLED, now - LATE)]
        assert missing(periods, now - timedelta(days=8), now - LATE) == ()
        exported = tmp_path / f"{provider}.jsonl"
        exported.write_text("\n".join(map(json.dumps, sandbox.providers.exported(provider))))
        again = LogFiles(log).import_files([str(exported)])
        assert (again.events, again.new, again.damaged_number) == (len(wanted), 0, 0)
        (first, *_) = log.events(EventChoice(provider), limit=1)
        earliest = min(use.time for use in wanted)
        assert abs(first.at.timestamp() - earliest) < 1.0


def test_a_pull_that_stops_keeps_its_place_and_its_window(
    pull: Pull,
    log: ProviderLog,
    providers: ProviderControl,
    monkeypatch: pytest.MonkeyPatch,
    sandbox: Sandbox,
) -> None:
    wanted = sum(use.provider == "github" for use in provider_uses(sandbox.world))
    github = LOG_APIS["github"]
    small = replace(github, path=github.path.replace("per_page=100", "per_page=7"))
    monkeypatch.setitem(LOG_APIS, "github", small)  # type: ignore[arg-type]
    stop = Event()
    seen: list[int] = []

    def after_two(number: int) -> None:
        seen.append(number)
        if len(seen) == 2:
            stop.set()

    stopped = pull("github", progress=after_two, cancelled=stop)
    assert (stopped.finished, stopped.interrupted, stopped.pages, stopped.events) == (False, True, 2, 14)
    assert CoverBook(log.file).periods() == ()
    providers.fault("github", "forbidden", count=1)
    refused = pull("github", since=sandbox.world.now - timedelta(hours=1))
    assert not refused.finished
    assert "read:audit_log" in refused.reason
    rest = pull("github", since=sandbox.world.now - timedelta(hours=1))
    assert rest.resumed
    assert rest.since == stopped.since
    assert rest.finished
    assert (stopped.events + rest.events, log.count(EventChoice())) == (wanted, wanted)
    assert [one.since for one in CoverBook(log.file).periods()] == [stopped.since]


@pytest.mark.parametrize("kind", ["garbage", "redirect", "unnamed", "reset", "forbidden"])
def test_what_is_no_page_stops_the_pull_and_covers_nothing(
    kind: str, pull: Pull, log: ProviderLog, providers: ProviderControl
) -> None:
    providers.fault("slack", kind, count=9)
    report = pull("slack")
    assert not report.finished
    assert report.reason
    assert "\x1b" not in report.reason
    assert CoverBook(log.file).periods() == ()
    assert all(call.path.startswith("/audit/") for call in providers.calls())


def test_a_wrong_token_is_refused_in_words_and_appears_nowhere(
    pull: Pull, providers: ProviderControl, log: ProviderLog
) -> None:
    secret = "KEYDECKCANARY-audit-token"
    for provider in ORGANISATIONS:
        report = pull(provider, secret)
        assert not report.finished
        assert secret not in repr(report)
    assert all(secret not in call.path for call in providers.calls())
    assert pull("github").finished
    stored = log.file.path.read_bytes()
    for token in (secret, AUDIT_TOKEN):
        assert token.encode() not in stored
    with pytest.raises(RefusedError, match="characters that no token has"):
        pull("github", "two\nlines")


@pytest.mark.parametrize("name", ["", "a/b", "../x", "[/red]", "a?b", "ü", "x" * 101, "a\x1b"])
def test_a_name_that_would_leave_the_path_is_none(name: str, pull: Pull) -> None:
    with pytest.raises(SettingsError, match="no GitHub organisation"):
        pull("github", name=name)
    with pytest.raises(RefusedError, match="ends before it begins"):
        pull("github", until=datetime(2000, 1, 1, tzinfo=UTC))
    assert require_name(LOG_APIS["slack"], "") == ""


@pytest.mark.parametrize(
    ("provider", "headers", "document", "following"),
    [
        ("github", {"link": '<https://evil.example/x?after=abc>; rel="next"'}, [], "abc"),
        ("github", {"link": '<https://e.example/x?after=a>; rel="prev"'}, [], ""),
        ("github", {"link": '<https://e.example/x?after=a%0d%0aHost>; rel="next"'}, [], ""),
        ("github", {"link": "<" * 100_000}, [], ""),
        ("slack", {}, {"entries": [], "response_metadata": {"next_cursor": "c1"}}, "c1"),
        ("slack", {}, {"entries": [], "response_metadata": ["x"]}, ""),
        ("slack", {}, {"entries": [], "response_metadata": {"next_cursor": {"a": 1}}}, ""),
        ("atlassian", {}, {"data": [], "links": {"next": "https://evil.example/?cursor=c2"}}, "c2"),
        ("atlassian", {}, {"data": [], "meta": {"next": "c3"}, "links": []}, "c3"),
        ("atlassian", {}, {"data": [], "meta": [1], "links": {"next": "http://[bad"}}, ""),
    ],
)
def test_of_an_answer_only_the_position_is_taken(
    provider: str, headers: dict[str, str], document: object, following: str
) -> None:
    page = LOG_APIS[provider].page(ProviderAnswer(200, headers, json.dumps(document).encode()))
    assert page is not None
    assert page.following == following
    window = (datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 9, 2, tzinfo=UTC))
    request = LOG_APIS[provider].request(Endpoints(), "acme", window, page.following, "t0ken")
    assert request.url.startswith(
        ("https://api.github.com/", "https://api.slack.com/", "https://api.atlassian.com/")
    )
    assert "t0ken" not in request.url + repr(request)
    assert request.headers["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize("provider", sorted(LOG_APIS))
@pytest.mark.parametrize("body", [b"7", b"[1", b"{}", b'{"ok":false,"entries":[]}', b'{"data":{}}', b"null"])
def test_anything_else_is_no_page(provider: str, body: bytes) -> None:
    assert LOG_APIS[provider].page(ProviderAnswer(200, {}, body)) is None
    assert LOG_APIS[provider].page(ProviderAnswer(500, {}, b"[]")) is None


def test_later_pages_keep_the_providers_pace(
    log: ProviderLog, endpoints: Endpoints, sandbox: Sandbox
) -> None:
    waits: list[float] = []
    clock = Clock(wait=lambda seconds, cancelled: waits.append(seconds), now=lambda: sandbox.world.now)
    puller = LogPuller(log, endpoints, clock=clock)
    api = LOG_APIS["atlassian"]
    for pages in range(api.burst + 3):
        puller._keep_pace(api, pages, None)
    assert waits == [api.every] * 3
    assert api.burst + 60 / api.every <= 20
